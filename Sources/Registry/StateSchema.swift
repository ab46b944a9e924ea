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
    """,
    // 2. Who may come in, and whose a session is: '' for nobody's. `session.client` of a user's session is the client
    // identifier, a NUL and the user's name: one identifier of two users names two sessions. Earlier versions wrote the
    // identifier alone, which is read as well. `user.hash` is a PasswordHash's text.
    // `access_rule.user` is NULL for everybody; it may name a user that does not exist. `account_state.is_closed` stays
    // set after damaged rules were lost: no rules mean no access then.
    """
    ALTER TABLE session ADD COLUMN user TEXT NOT NULL DEFAULT '';
    CREATE TABLE account_state(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        is_closed INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO account_state(id) VALUES(1);
    CREATE TABLE user(
        name TEXT PRIMARY KEY NOT NULL,
        hash TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE access_rule(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT,
        access TEXT NOT NULL,
        filter TEXT NOT NULL
    );
    """,
])

/// Every table of the current version: a file that lacks one is damaged.
let stateTables = [
    "session", "subscription", "message", "queued", "received", "retained", "account_state", "user", "access_rule",
]
