import Sensors

/// All sensors. Each of them is started again by the sensors' own supervisor.
struct SensorsPart: Part {
    let name = PartName(.sensor)
    let sensors: SensorSupervisor

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.cancel { await sensors.run() }
        // Sensors may all have been stopped before; the gateway goes on without them.
        await life.stop.wait()
    }
}
