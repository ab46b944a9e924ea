extension SerialPort.Format {
    /// Silence that ends a Modbus RTU frame: 3.5 characters, and 1.75 ms above 19,200 baud (MODBUS over Serial Line V1.02
    /// §2.5.1.1).
    var modbusFrameGap: Duration { baud > 19_200 ? .microseconds(1_750) : characterTime * 7 / 2 }
}
