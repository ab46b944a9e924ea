internal import Database

/// The history of the outbox file's schema.
let outboxSchema = Migrations([
    // 1. `message.id` is a MessageID: stream number and sequence. `message.format` is Message.Format's raw value, or
    // 255 for a gap record. `stream` holds what must outlast its messages: the next sequence, so that none is used
    // twice, and the counters, so that opening does not have to count.
    """
    CREATE TABLE store(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL
    );
    CREATE TABLE boot(
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    );
    CREATE TABLE stream(
        id INTEGER PRIMARY KEY,
        class TEXT NOT NULL UNIQUE,
        next INTEGER NOT NULL DEFAULT 1,
        count INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        dropped INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE message(
        id INTEGER PRIMARY KEY,
        format INTEGER NOT NULL,
        retain INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        instant INTEGER NOT NULL,
        unix INTEGER NOT NULL,
        quality INTEGER NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    """,
    // 2. Rows below `stream.head` are settled; they are removed many at a time. `epoch` says under which epoch a
    // stream's sequences count, from `first` on. `store.ahead` is 1 while messages may be on their way upstream that
    // the file knows nothing of; `store.epoch` is the epoch of streams that are made later. `refused`
    // holds what the upstream will never take.
    """
    ALTER TABLE store ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE stream ADD COLUMN head INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE epoch(
        stream INTEGER NOT NULL,
        first INTEGER NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY(stream, first)
    ) WITHOUT ROWID;
    INSERT INTO epoch(stream, first, value) SELECT id, 1, (SELECT epoch FROM store) FROM stream;
    CREATE TABLE refused(
        id INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        reason TEXT NOT NULL,
        format INTEGER NOT NULL,
        retain INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        instant INTEGER NOT NULL,
        unix INTEGER NOT NULL,
        quality INTEGER NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    """,
    // 3. What the wall clock was ahead of the boot's own, in nanoseconds, once it was trusted in that boot.
    """
    ALTER TABLE boot ADD COLUMN offset INTEGER;
    """,
    // 4. After how many nanoseconds a message is of no use any more, what its publisher said of it beside the payload,
    // and a checksum over topic, payload and that. A row without one is of an earlier version.
    """
    ALTER TABLE message ADD COLUMN expiry INTEGER;
    ALTER TABLE message ADD COLUMN properties BLOB;
    ALTER TABLE message ADD COLUMN checksum INTEGER;
    ALTER TABLE refused ADD COLUMN expiry INTEGER;
    ALTER TABLE refused ADD COLUMN properties BLOB;
    """,
    // 5. `store.counted` is 1 while the counters of the streams are known to be those of their rows. They may not be in
    // a file of an earlier version, after whose crash they could be too small.
    """
    ALTER TABLE store ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
    """,
])

/// Every table, with the version that it came with: a file that lacks one is damaged.
let outboxTables: [(name: String, version: Int64)] = [
    ("store", 1), ("boot", 1), ("stream", 1), ("message", 1), ("epoch", 2), ("refused", 2),
]
