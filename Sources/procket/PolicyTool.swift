import Privilege
import SystemCalls

/// What an administrator asks about a policy. Runs with the rights of who started it.
enum PolicyTool {
  /// Says whether a file can be the policy; the exit status: 1 where it cannot.
  static func check(_ path: String, with privileges: borrowing Privileges) -> CInt {
    do {
      let inForce = try path == Policy.path ? Policy.inForce(with: privileges)?.policy : nil
      let policy = try inForce ?? Policy.read(path)
      put("\(path): \(policy.rules.count) \(policy.rules.count == 1 ? "rule" : "rules")\n", on: 1)
      return 0
    } catch {
      put("\(path): \(error)\n", on: 2)
      return 1
    }
  }

  /// Says which line of the policy decides about a request of a user; the exit status: 1 where it is refused, 2 where that cannot be said.
  static func explain(
    _ user: String, _ request: String, with privileges: borrowing Privileges
  ) -> CInt {
    do {
      let wanted = try Wanted(request)
      guard let (policy, accounts) = try inForce(with: privileges) else {
        put("there is no \(Policy.path): whoever may run the opener may open \(wanted)\n", on: 1)
        return 0
      }
      guard let who = accounts.identity(of: user) else {
        throw PolicyError(line: 0, reason: "no user \(user) in /etc/passwd")
      }
      guard let rule = policy.rule(about: wanted, user: who.user, groups: who.groups) else {
        put("\(wanted) is refused: no line of \(Policy.path) allows it\n", on: 1)
        return 1
      }
      let verdict = rule.allows ? "is allowed" : "is refused"
      put("\(wanted) \(verdict) by line \(rule.line) of \(Policy.path): \(rule.text)\n", on: 1)
      return rule.allows ? 0 : 1
    } catch {
      put("procket: \(error)\n", on: 2)
      return 2
    }
  }

  /// The policy in force; an error names its file.
  private static func inForce(
    with privileges: borrowing Privileges
  ) throws(PolicyError) -> (policy: Policy, accounts: Accounts)? {
    do {
      return try Policy.inForce(with: privileges)
    } catch {
      throw PolicyError(line: 0, reason: "\(Policy.path): \(error)")
    }
  }
}
