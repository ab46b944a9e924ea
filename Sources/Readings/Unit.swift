/// A unit of measurement by its UCUM or SenML name (RFC 8428 §12.1): `Cel`, `%RH`, `V`, `m/s`.
///
/// Carried and shown, never computed with; at most 32 bytes by settings.
package struct Unit: Hashable, Sendable {
    package var name: String

    package init(_ name: String) { self.name = name }
}
