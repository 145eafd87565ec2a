import ErlangTerm
import Privilege

/// What a port process of a role serves.
extension Role {
  var commands: [Command] {
    switch self {
    case .worker: Commands.worker
    case .opener: Commands.opener
    case .capture: Commands.capture
    }
  }

  /// An opener does not receive descriptors that are offered to it.
  var takesDescriptors: Bool { self != .opener }

  /// The longest request on a connection, in bytes.
  var longestRequest: Int { self == .opener ? FrameBuffer.longestFrame : FrameBuffer.longestTerm }
}
