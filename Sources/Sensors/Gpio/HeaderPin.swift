/// The 40-pin header that Raspberry Pi boards, and many that copy it, have (raspberrypi.com: GPIO and the 40-pin header).
enum HeaderPin {
    /// GPIO number by pin; power and ground have none.
    private static let numbers: [Int: Int] = [
        3: 2, 5: 3, 7: 4, 8: 14, 10: 15, 11: 17, 12: 18, 13: 27, 15: 22, 16: 23, 18: 24, 19: 10, 21: 9, 22: 25, 23: 11,
        24: 8, 26: 7, 27: 0, 28: 1, 29: 5, 31: 6, 32: 12, 33: 13, 35: 19, 36: 16, 37: 26, 38: 20, 40: 21,
    ]

    /// What kernels call lines with a second purpose, by GPIO number: the device trees of the mainline kernel name them by
    /// it (arch/arm/boot/dts/broadcom/bcm2711-rpi-4-b.dts and its like).
    private static let purposes: [Int: [String]] = [
        0: ["ID_SDA", "ID_SD"], 1: ["ID_SCL", "ID_SC"], 2: ["SDA1"], 3: ["SCL1"], 4: ["GPIO_GCLK"], 7: ["SPI_CE1_N"],
        8: ["SPI_CE0_N"], 9: ["SPI_MISO"], 10: ["SPI_MOSI"], 11: ["SPI_SCLK"], 14: ["TXD1"], 15: ["RXD1"],
    ]

    /// The labels that the line at `pin` may have, the likeliest first; `nil`: there is no line.
    static func labels(of pin: Int) -> [String]? {
        guard let number = numbers[pin] else { return nil }
        return ["GPIO\(number)"] + (purposes[number] ?? []) + ["PIN_\(pin)", "PIN\(pin)"]
    }
}
