internal import Database

/// The history of the state file's schema.
let stateSchema = Migrations([
    // 1. What the listener's sessions need (MQTT 5.0 §4.1). No column is NULL: 0 stands for no identifier, message or
    // packet identifier, -1 in `away` for a session that has its connection. `publish` is a PUBLISH of MQTT 5.0 as it
    // goes over the wire; instants are nanoseconds on the boot clock of `boot`.
    """
    CREATE TABLE session(
        id INTEGER PRIMARY KEY,
        client TEXT NOT NULL UNIQUE,
        expiry INTEGER NOT NULL,
        boot TEXT NOT NULL,
        away INTEGER NOT NULL,
        will BLOB NOT NULL,
        will_delay INTEGER NOT NULL
    );
    CREATE TABLE subscription(
        session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        filter TEXT NOT NULL,
        options INTEGER NOT NULL,
        identifier INTEGER NOT NULL,
        PRIMARY KEY(session, filter)
    ) WITHOUT ROWID;
    CREATE TABLE message(
        id INTEGER PRIMARY KEY,
        boot TEXT NOT NULL,
        received INTEGER NOT NULL,
        publish BLOB NOT NULL
    );
    CREATE TABLE queued(
        session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        number INTEGER NOT NULL,
        message INTEGER NOT NULL,
        qos INTEGER NOT NULL,
        retain INTEGER NOT NULL,
        identifiers TEXT NOT NULL,
        packet_identifier INTEGER NOT NULL,
        phase INTEGER NOT NULL,
        PRIMARY KEY(session, number)
    ) WITHOUT ROWID;
    CREATE TABLE received(
        session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        packet_identifier INTEGER NOT NULL,
        PRIMARY KEY(session, packet_identifier)
    ) WITHOUT ROWID;
    CREATE TABLE retained(
        topic TEXT PRIMARY KEY,
        boot TEXT NOT NULL,
        stored INTEGER NOT NULL,
        publish BLOB NOT NULL
    ) WITHOUT ROWID;
    """
])
