import SystemCalls

/// Why something was not opened.
public struct Refusal: Error {
  public let error: Errno
  /// Why it was not allowed, as far as the caller may know; nil where it failed for another reason. What a policy says is not in it.
  public let reason: String?

  /// This opener ends, and the next one may serve the request.
  static let outdated = "outdated"
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

  /// The cause where another opener has to open what a line allows.
  static func outdated(_ line: String, _ reason: String) -> String { "\(line) allows it, but \(reason), which ends" }
}

extension Privileges {
  /// Opens what the caller asks for, and logs what the policy said of it: one line for a request that it was asked about.
  public borrowing func recording(
    _ open: (borrowing Privileges) throws(Errno) -> Descriptor
  ) throws(Refusal) -> Descriptor {
    history.decision = nil
    let opened = Result { () throws(Errno) in try open(self).release() }
    switch opened {
    case .success(let number):
      let descriptor = Descriptor(owning: number)
      _ = log(nil)
      if history.isOutdated { throw Refusal(error: Errno(rawValue: EACCES), reason: Refusal.outdated) }
      return descriptor
    case .failure(let error):
      let unlogged = log(error)
      if history.isOutdated { throw Refusal(error: Errno(rawValue: EACCES), reason: Refusal.outdated) }
      guard error.rawValue == EACCES || error.rawValue == EPERM else { throw Refusal(error: error, reason: nil) }
      let reason = history.decision?.refusal ?? "not privileged"
      throw Refusal(error: error, reason: unlogged.map { "\(reason); not logged: \($0.name)" } ?? reason)
    }
  }

  /// Opens the log ahead of the first line. What prevents it is told with the first line.
  public borrowing func prepareLog() {
    if caller.isOutranked { history.log.open() }
  }

  /// Logs the last decision, and with what error the system refused what was allowed. Returns why nobody took the line. Where that is
  /// because somebody else reads the log by now, this opener is outdated.
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
      if history.log.hasNewReader { history.isOutdated = true }
      return error
    }
  }
}
