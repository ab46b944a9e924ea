import Glibc
import Linux
import Testing

@Suite struct ErrnoTextTests {
    @Test func errnoTextHasWordsAndName() {
        #expect(ErrnoText.text(EACCES) == "permission denied (EACCES)")
        #expect(ErrnoText.text(ENOSPC) == "no space left on device (ENOSPC)")
        #expect(ErrnoText.text(EIO) == "input/output error (EIO)")
        // An abbreviation stays one.
        #expect(ErrnoText.text(73) == "RFS specific error (EDOTDOT)")
        #expect(ErrnoText.text(4_711) == "error 4711")
    }

    @Test func systemCallErrorSaysWhatWhyAndWhatToDo() {
        #expect(
            SystemCallError(doing: "write /x", code: EROFS).description
                == "cannot write /x: read-only file system (EROFS)\n  try: find out why the disk is mounted read-only (journalctl -k), and mount it writable again"
        )
        // A reason without a remedy says none.
        #expect(
            SystemCallError(doing: "read /x", code: ENOENT).description
                == "cannot read /x: no such file or directory (ENOENT)")
        #expect(SystemCallError(doing: "x", code: EROFS, remedy: "y").description.hasSuffix("\n  try: y"))
    }
}
