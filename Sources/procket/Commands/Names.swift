import CSystem
import ErlangTerm
import SystemCalls

// Names and numbers of this system.

extension Commands {
  /// `[socket_level | socket_optname | socket_protocol]`
  @Sendable static func constants(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let table: ConstantTable
    switch try call.atom() {
    case "socket_level": table = Constants.levels
    case "socket_optname": table = Constants.optionNames
    case "socket_protocol": table = Constants.protocols
    default: throw .argument(1)
    }
    context.answer.startOk(1)
    context.answer.withTerm { term in
      if table.count > 0 { term.listHeader(table.count) }
      table.visit { name, value in
        term.tupleHeader(2)
        term.atom(name)
        term.integer(value)
      }
      term.emptyList()
    }
  }

  /// `[Name]`
  @Sendable static func family(_ call: inout Call, _ context: inout Context) throws(Failure) {
    guard let number = Constants.family(try call.atom()) else { throw .code(EINVAL) }
    context.answer.ok(Int(number))
  }

  /// `[Number]`
  @Sendable static func errnoName(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let error = Errno(rawValue: try call.integer(in: 0...CInt.max))
    context.answer.startOk(1)
    context.answer.withTerm { $0.atom(error.name) }
  }
}

extension Commands {
  /// What this process has done: `[]`.
  @Sendable static func counters(_ call: inout Call, _ context: inout Context) throws(Failure) {
    context.answer.ok(context.counters.numbers + context.spin.numbers)
  }
}
