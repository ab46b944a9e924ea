import Database
import Sensors
import Upstream

package enum GatewayVersion {
    /// Semantic version of the settings, the command line and what goes over the wire.
    package static let current = "0.1.0"

    /// The version with those of the libraries that are loaded, for a bug report.
    package static var text: String {
        """
        tidegate \(current)
        SQLite \(SQLiteLibrary.version), libmosquitto \(UpstreamLink.libraryVersion), libgpiod \(GpioSensor.libraryVersion)
        """
    }
}
