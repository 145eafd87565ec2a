import Privilege
import SystemCalls

#if os(Linux)
  /// Sets the process up for the role of a capture and serves; the exit status.
  func serveCapture() -> CInt {
    do {
      try Surroundings.closeInherited()
      try Surroundings.settle()
      let privileges = try Privileges()
      try privileges.drop()
      var server = CaptureServer(privileges: try Privileges())
      try server.run()
      return 0
    } catch {
      // The BEAM has gone, or what the process stands on: there is nobody to tell.
      return error.rawValue == EPIPE || error.rawValue == ECONNRESET ? 0 : 71
    }
  }
#endif
