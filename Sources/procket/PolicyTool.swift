import Privilege
import SystemCalls

/// What an administrator asks about a policy. Runs with the rights of who started it.
enum PolicyTool {
  /// Says whether a file can be the policy, or that of the machine is one, and what is doubtful in it; the exit status: 1 where it is none.
  static func check(_ path: String?, with privileges: borrowing Privileges) -> CInt {
    let name = path ?? Policy.path
    do {
      let own = try name == Policy.path ? Policy.report(with: privileges) : nil
      if own == nil, path == nil {
        put("there is no \(Policy.path): the built-in default counts\n", on: 1)
        return 0
      }
      let report = try own ?? Policy.report(of: name)
      let remarks =
        report.errors.map { (line: $0.line, text: "\($0)") } + report.warnings.map { (line: $0.line, text: "\($0)") }
      for remark in remarks.sorted(by: { $0.line < $1.line }) { put("\(name): \(remark.text)\n", on: 2) }
      guard report.errors.isEmpty else { return 1 }
      put("\(name): \(report.rules) \(report.rules == 1 ? "rule" : "rules")\n", on: 1)
      return 0
    } catch {
      put("\(name): \(error)\n", on: 2)
      return 1
    }
  }

  /// Says which line decides about a request of a user, in the policy of the machine or in that of `path`; the exit status: 1 where it
  /// is refused, 2 where that cannot be said.
  static func explain(
    _ user: String, _ request: String, policy path: String?, with privileges: borrowing Privileges
  ) -> CInt {
    do {
      let requests = try Wanted.requests(request)
      let source = try source(path, with: privileges)
      guard let who = source.accounts.identity(of: user) else {
        throw PolicyError(line: 0, reason: "no user \(user) in /etc/passwd")
      }
      if who.groups.isEmpty {
        put("procket: no user in /etc/passwd has the number \(who.user), so its groups are not known\n", on: 2)
      }
      if source.isBuiltIn { put("there is no \(Policy.path)\n", on: 1) }
      let rules = requests.map { source.policy.rule(about: $0, user: who.user, groups: who.groups) }
      let isOne = rules.allSatisfy { $0?.line == rules[0]?.line }
      for (wanted, rule) in zip(requests, rules).prefix(isOne ? 1 : rules.count) {
        let name = isOne || wanted.family.isEmpty ? "\(wanted)" : "\(wanted.family): \(wanted)"
        put("\(name) \(verdict(rule, of: source.name))\n", on: 1)
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

  /// The policy in force, or a file; an error names the file.
  private static func source(
    _ path: String?, with privileges: borrowing Privileges
  ) throws(PolicyError) -> Policy.Source {
    do {
      if let path { return try Policy.read(path) }
      return try Policy.inForce(with: privileges)
    } catch {
      throw PolicyError(line: 0, reason: "\(path ?? Policy.path): \(error)")
    }
  }
}
