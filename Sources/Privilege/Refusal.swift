import SystemCalls

/// Why something was not opened.
public struct Refusal: Error {
  public let error: Errno
  /// Why it was not allowed, as far as the caller may know; nil where it failed for another reason. What a policy says is not in it.
  public let reason: String?
}

/// What the policy says of one request.
struct Decision {
  let wanted: Wanted
  /// The name of the caller; nil where it has none.
  let user: String?
  /// For the log: which line of the policy decides, or why there is no policy.
  let cause: String
  /// For the caller; nil where it is allowed.
  let refusal: String?
}

extension Privileges {
  /// Opens what the caller asks for, and logs what the policy said of it: one line for a request that it was asked about.
  public borrowing func recording(
    _ open: (borrowing Privileges) throws(Errno) -> Descriptor
  ) throws(Refusal) -> Descriptor {
    history.decision = nil
    do throws(Errno) {
      let descriptor = try open(self)
      _ = log(nil)
      return descriptor
    } catch {
      let unlogged = log(error)
      guard error.rawValue == EACCES || error.rawValue == EPERM else { throw Refusal(error: error, reason: nil) }
      let reason = history.decision?.refusal ?? "not privileged"
      throw Refusal(error: error, reason: unlogged.map { "\(reason); not logged: \($0.name)" } ?? reason)
    }
  }

  /// Opens the log ahead of the first line. What prevents it is told with the first line.
  public borrowing func prepareLog() {
    if caller.isOutranked { try? history.log.open() }
  }

  /// Logs the last decision, and with what error the system refused what was allowed. Returns why nobody took the line.
  private borrowing func log(_ failure: Errno?) -> Errno? {
    guard let decision = history.decision else { return nil }
    let isAllowed = decision.refusal == nil
    var user = decision.user.map { "user=\($0) " } ?? ""
    user += "uid=\(caller.user)"
    if isAllowed, let failure { user += " error=\(failure.name)" }
    let line = Log.line(
      "\(isAllowed ? "allowed" : "refused"): \(decision.cause)", user, quoting: "\(decision.wanted)")
    do throws(Errno) {
      try history.log.write(isAllowed ? .info : .notice, line)
      return nil
    } catch {
      return error
    }
  }
}
