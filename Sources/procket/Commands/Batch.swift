import ErlangTerm
import SystemCalls

extension Commands {
  /// Runs a function and writes its answer. What it brings is in `call.outgoing`: nothing where it fails.
  static func run(_ function: String, _ call: inout Call, _ context: inout Context) {
    context.counters.calls += 1
    do throws(Failure) {
      guard let command = context.commands[function] else { throw .undefined }
      if command.needsConnection, context.stream == .stdin { throw .code(ENOTCONN) }
      try call.check(arity: command.arity, takesDescriptor: command.takesDescriptor)
      try command.run(&call, &context)
    } catch {
      context.counters.errors += 1
      context.answer.fail(error, function: function)
      call.outgoing.removeAll()
    }
  }

  /// What comes behind the last result of a batch at most, in bytes: the end of the list, and how many descriptors come along.
  private static let afterwards = 3

  /// `[[{Function, Args, [Index]}]]`: several calls, each about those of the descriptors that came along; a result for each,
  /// `{Count, Result}`. The calls themselves may be batches, whose own may not. None is made behind the one whose result, although
  /// it is an error, makes the answer too long.
  @Sendable static func batch(_ call: inout Call, _ context: inout Context) throws(Failure) {
    guard context.batches < 2 else { throw .argument(1) }
    let all = call.descriptors
    let calls = try call.list { (call) throws(Failure) in
      try call.tuple(3) { (call) throws(Failure) in
        let function = try call.atom()
        let arguments = try call.arguments()
        let own = try call.list(most: Messages.mostDescriptors) { (call) throws(Failure) in
          let index = try call.integer(in: 0...Int.max)
          guard index < all.count else { throw .argument(1) }
          return all[index]
        }
        return (function: function, arguments: arguments, descriptors: DescriptorNumbers(own))
      }
    }
    context.batches += 1
    let most = context.stream.longestAnswer - afterwards
    context.answer.startOk(1)
    if !calls.isEmpty { context.answer.withTerm { $0.listHeader(calls.count) } }
    for one in calls {
      let part = context.answer.beginResult()
      var inner = Call(id: call.id, arguments: one.arguments, descriptors: one.descriptors)
      run(one.function, &inner, &context)
      if call.outgoing.count + inner.outgoing.count > Messages.mostDescriptors {
        context.answer.fail(.code(EMFILE), function: one.function)
        inner.outgoing.removeAll()
      }
      // What does not fit costs its own result, and no more memory than one of these.
      if context.answer.length > most {
        context.answer.fail(.code(EMSGSIZE), function: one.function)
        inner.outgoing.removeAll()
      }
      context.answer.endResult(part, descriptors: inner.outgoing.count)
      call.outgoing.append(inner.outgoing.takeAll())
      // Then all of the answer is emsgsize, and would only grow.
      if context.answer.length > most { break }
    }
    context.answer.withTerm { $0.emptyList() }
    context.batches -= 1
  }

  /// `[Directory, Function, Args]`: a call in which relative paths are those in a directory.
  @Sendable static func within(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let directory = try call.string()
    let function = try call.atom()
    guard !["batch", "within"].contains(function) else { throw .argument(2) }
    var inner = Call(id: call.id, arguments: try call.arguments(), descriptors: call.descriptors)
    try call.system { () throws(Errno) in try Files.changeDirectory(to: directory) }
    run(function, &inner, &context)
    call.outgoing.append(inner.outgoing.takeAll())
    try call.system { () throws(Errno) in try Files.changeDirectory(to: "/") }
  }
}
