import CSystem
import SystemCalls

/// The system's log, facility `LOG_AUTHPRIV`. The lines are written here, because syslog(3) reads files and can wait.
final class Log {
  enum Severity: Int {
    case notice = 5
    case info = 6
  }

  private static let path = "/dev/log"
  /// `LOG_AUTHPRIV`
  private static let facility = 10 << 3
  /// The longest line without its header, in bytes: RFC 3164 has 1024 with it.
  static let longest = 900

  private var socket = LateDescriptor()
  /// Why it is not connected.
  private var failure = Errno(rawValue: ENOTCONN)
  /// What it was connected to.
  private var reader: FileState?
  /// How many lines nobody has taken since the last one that was.
  private var lost = 0

  /// -1 where nobody reads the log.
  var number: CInt { socket.number }

  /// Whether somebody else reads the log by now. An opener connects to nothing once it serves.
  var hasNewReader: Bool { FileState(Self.path) != reader }

  /// Connects to the log. Done at the start, a caller that leaves no descriptor later cannot keep a line from it.
  func open() {
    reader = FileState(Self.path)
    do throws(Errno) {
      socket.open(try Sockets.connect(toPath: Self.path.utf8, type: Sockets.datagram))
    } catch {
      failure = error
    }
  }

  /// Writes one line, and ahead of it how many were lost. Does not wait: throws where nobody takes it.
  func write(_ severity: Severity, _ line: String) throws(Errno) {
    do throws(Errno) {
      guard number >= 0 else { throw failure }
      if lost > 0 {
        try send(.notice, "\(lost) \(lost == 1 ? "line" : "lines") before this one could not be logged")
        lost = 0
      }
      try send(severity, line)
    } catch {
      lost += 1
      throw error
    }
  }

  private func send(_ severity: Severity, _ line: String) throws(Errno) {
    let bytes = [UInt8]("<\(Self.facility | severity.rawValue)>procket[\(getpid())]: \(line)".utf8)
    try bytes.withBytes { (bytes) throws(Errno) in
      _ = try Sockets.send(number, bytes, flags: 0, to: UnsafeRawBufferPointer(start: nil, count: 0))
    }
  }
}

extension Log {
  /// A line: what was decided and for whom, in the words of this program and of root's files, and behind it what a caller wrote, in
  /// quotes. `...` stands behind what is cut.
  static func line(_ decided: String, _ user: String, quoting text: String) -> String {
    let start = "\(escaped(decided, atMost: longest / 3)); \(escaped(user, atMost: longest / 6)) request="
    return start + escaped(text, atMost: longest - start.utf8.count, quote: "\"")
  }

  /// Printable ASCII: any other byte is `\xHH`, and `"` and `\` have a `\` before them.
  private static func escaped(_ text: String, atMost room: Int, quote: String = "") -> String {
    let cut = "..."
    let room = room - cut.utf8.count - 2 * quote.utf8.count
    var escaped: [UInt8] = []
    escaped.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      let end = escaped.count
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        escaped.append(UInt8(ascii: "\\"))
        escaped.append(byte)
      case 32...126: escaped.append(byte)
      default: escaped += "\\x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
      }
      if escaped.count > room { return quote + String(decoding: escaped[..<end], as: UTF8.self) + quote + cut }
    }
    return quote + String(decoding: escaped, as: UTF8.self) + quote
  }
}
