import Privilege
import SystemCalls

/// What an administrator asks about a policy. Runs with the rights of who started it.
enum PolicyTool {
  /// Says whether a file can be the policy; the exit status: 1 where it cannot.
  static func check(_ path: String, with privileges: borrowing Privileges) -> CInt {
    do {
      let inForce = try path == Policy.path ? Policy.inForce(with: privileges) : nil
      let policy = try inForce.flatMap { $0.isBuiltIn ? nil : $0.policy } ?? Policy.read(path)
      put("\(path): \(policy.rules.count) \(policy.rules.count == 1 ? "rule" : "rules")\n", on: 1)
      for warning in policy.warnings { put("\(path): warning: line \(warning.line): \(warning.text)\n", on: 2) }
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
      let requests = try Wanted.requests(request)
      let inForce = try inForce(with: privileges)
      guard let who = inForce.accounts.identity(of: user) else {
        throw PolicyError(line: 0, reason: "no user \(user) in /etc/passwd")
      }
      if inForce.isBuiltIn { put("there is no \(Policy.path)\n", on: 1) }
      let rules = requests.map { inForce.policy.rule(about: $0, user: who.user, groups: who.groups) }
      let isOne = rules.allSatisfy { $0?.line == rules[0]?.line }
      for (wanted, rule) in zip(requests, rules).prefix(isOne ? 1 : rules.count) {
        let name = isOne || wanted.family.isEmpty ? "\(wanted)" : "\(wanted.family): \(wanted)"
        put("\(name) \(verdict(rule, of: inForce.source))\n", on: 1)
      }
      return rules.allSatisfy { $0?.allows ?? false } ? 0 : 1
    } catch {
      put("procket: \(error)\n", on: 2)
      return 2
    }
  }

  private static func verdict(_ rule: Policy.Rule?, of source: String) -> String {
    guard let rule else { return "is refused: no line of \(source) allows it" }
    return "is \(rule.allows ? "allowed" : "refused") by line \(rule.line) of \(source): \(rule.text)"
  }

  /// The policy in force; an error names its file.
  private static func inForce(with privileges: borrowing Privileges) throws(PolicyError) -> Policy.InForce {
    do {
      return try Policy.inForce(with: privileges)
    } catch {
      throw PolicyError(line: 0, reason: "\(Policy.path): \(error)")
    }
  }
}
