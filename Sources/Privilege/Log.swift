import CSystem
import SystemCalls

/// The system's log, facility `LOG_AUTHPRIV`. The line is written here, because syslog(3) reads files and can wait.
enum Log {
  private static let path = "/dev/log"
  /// `LOG_AUTHPRIV | LOG_NOTICE`
  private static let priority = 10 << 3 | 5
  private static let longest = 900

  /// Writes one line. What a stranger wrote into it is harmless there. Where nobody keeps a log there is none.
  static func refused(_ text: String) {
    let line = "<\(priority)>procket[\(getpid())]: " + clean(text)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    guard let socket = try? Sockets.socket(family: AF_UNIX, type: Sockets.datagram, protocol: 0) else { return }
    withUnsafeBytes(of: &address) { name in
      [UInt8](line.utf8).withUnsafeBytes { _ = try? Sockets.send(socket.number, $0, flags: 0, to: name) }
    }
  }

  /// Printable ASCII alone, and not too much of it.
  static func clean(_ text: String) -> String {
    let bytes = text.utf8.prefix(longest).map { (32...126).contains($0) ? $0 : UInt8(ascii: "?") }
    return String(decoding: bytes, as: UTF8.self)
  }
}
