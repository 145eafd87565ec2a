%% Calls every exported function with arguments of every kind, most of them wrong, and looks at what becomes of it: a value, or `badarg'
%% or `function_clause' in the process that called, and nothing else anywhere.
-module(procket_hostile).

-export([functions/0, run/3]).

-define(MODULES, [procket, gen_raw, packet, bpf, procket_pcap, procket_ioctl]).
%% How long a call may take, in milliseconds: twice its own limit, and more where the machine is busy.
-define(LIMIT, 60_000).

%% All that a program can call.
functions() ->
    [{Module, Name, Arity} || Module <- ?MODULES, {Name, Arity} <- Module:module_info(exports), Name =/= module_info, Name =/= format_error].

%% Calls a function so many times. What was wrong: `{Args, What}'. `FD' is a socket that may be used for anything; `Socket' one of gen_raw.
run({Module, Name, Arity} = Function, Times, #{fd := _, socket := _} = Valid) ->
    lists:append([call(Function, arguments(Module, Name, Arity, Valid)) || _ <- lists:seq(1, Times)]).

call({Module, Name, _} = Function, Args) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit(outcome(Module, Name, Args)) end),
    receive
        {'DOWN', Monitor, process, Pid, right} -> [];
        {'DOWN', Monitor, process, Pid, Wrong} -> [{Args, Wrong}]
    after limit(Function) ->
        Where = process_info(Pid, current_stacktrace),
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _} -> ok end,
        [{Args, {takes_too_long, Where}} || not waits(Function)]
    end.

%% It waits for as long as it is told, or until the process that it asks answers or ends, whatever that process is.
waits({gen_raw, recv, 2}) -> true;
waits({gen_raw, close, 1}) -> true;
waits(_) -> false.

limit(Function) ->
    case waits(Function) of
        true -> 200;
        false -> ?LIMIT
    end.

%% A file belongs to the process that opened it.
outcome(procket_pcap, Name, [file | Args]) ->
    {ok, File} = procket_pcap:open_write("hostile.pcapng", [{format, one_of([pcap, pcapng])}]),
    Outcome = outcome(procket_pcap, Name, [File | Args]),
    _ = procket_pcap:close(File),
    Outcome;
outcome(Module, Name, Args) ->
    try apply(Module, Name, Args) of
        Result -> close(Name, Result), right
    catch
        error:Reason when Reason =:= badarg; Reason =:= function_clause -> right;
        Class:Reason:Stack -> {Class, Reason, hd(Stack)}
    end.

%% What came is closed again, and only that: a number may be any descriptor of the node.
close(Name, {ok, FD}) when is_integer(FD), Name =:= open orelse Name =:= dev orelse Name =:= socket orelse Name =:= accept -> procket:close(FD);
close(open, {ok, FD, _}) when is_integer(FD) -> procket:close(FD);
close(open, {ok, Socket}) when is_pid(Socket) -> gen_raw:close(Socket);
close(accept, {ok, FD, _}) when is_integer(FD) -> procket:close(FD);
close(open_socket, {ok, Socket}) -> socket:close(Socket);
close(open_write, {ok, File}) -> procket_pcap:close(File);
close(call, Results) when is_list(Results) -> [close(socket, Result) || Result <- Results];
close(_, _) -> ok.

%% Half of the first arguments are what the function works on. What is closed is never a descriptor that the node may have.
arguments(procket, close, 1, _Valid) ->
    case term(3) of
        FD when is_integer(FD), FD >= 0, FD < 1_000_000 -> [1_000_000];
        Other -> [Other]
    end;
arguments(Module, Name, Arity, Valid) ->
    case [term(3) || _ <- lists:seq(1, Arity)] of
        [_ | Rest] = Random -> one_of([Random, [subject(Module, Name, Valid) | Rest]]);
        [] -> []
    end.

subject(gen_raw, Name, #{socket := Socket}) when Name =/= open, Name =/= close -> Socket;
subject(gen_raw, open, _) -> one_of(["lo", "any", {fd, 1_000_000}, {node(), "lo"}]);
subject(procket_pcap, Name, _) when Name =:= write; Name =:= close -> file;
subject(procket, alloc, _) -> [{ptr, term(1)}, {ptr, 8}];
subject(procket, call, #{fd := FD}) -> [{one_of([bind, sendto, recvmsg, socket, setsockopt, batch, decode]), [FD | [term(2) || _ <- lists:seq(1, rand:uniform(4) - 1)]]}];
subject(procket, open, _) -> one_of([0, 65_535]);
subject(procket, open_socket, _) -> 0;
subject(procket, dev, _) -> one_of(["null", "net/tun", "none", "zero"]);
subject(procket, setns, _) -> one_of(["/nowhere", ""]);
subject(packet, Name, _) when Name =:= arplookup; Name =:= gateway; Name =:= gateway_addr -> one_of([{256, 0, 0, 1}, {}, {127, 0, 0, 1}, "lo", ""]);
subject(_, _, #{fd := FD}) -> FD.

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% No integer that can be an open descriptor of the node: 1,000 to 100,000,000 are none. No name of a program.
term(0) ->
    leaf();
term(Depth) ->
    case rand:uniform(8) of
        1 -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(4) - 1)];
        2 -> [term(Depth - 1) | term(Depth - 1)];
        3 -> list_to_tuple([term(Depth - 1) || _ <- lists:seq(1, rand:uniform(4) - 1)]);
        4 -> [option(Depth - 1) || _ <- lists:seq(1, rand:uniform(3))];
        5 -> #{leaf() => term(Depth - 1)};
        _ -> leaf()
    end.

option(Depth) ->
    {
        one_of([
            protocol, type, family, ip, interface, dev, namespace, backlog, progname, exec, pipe, active, filter, snaplen, promiscuous, direction,
            buffer, timestamps, link, ptr, format, link_type
        ]),
        term(Depth)
    }.

leaf() ->
    case rand:uniform(30) of
        1 -> -1;
        2 -> 0;
        3 -> 1 bsl 31;
        4 -> 1 bsl 63;
        5 -> 1 bsl 64;
        6 -> 1 bsl 1000;
        7 -> -(1 bsl 64);
        8 -> 1.5;
        9 -> 1_000_000;
        10 -> <<>>;
        11 -> <<1:1>>;
        %% No address of inet or inet6.
        12 -> <<255, (rand:bytes(rand:uniform(100)))/binary>>;
        13 -> binary:copy(<<7>>, 65_536);
        14 -> large();
        15 -> "lo";
        16 -> "no_such_thing";
        17 -> lists:duplicate(70_000, $a);
        18 -> [16#110000];
        19 -> [0];
        20 -> make_ref();
        21 -> self();
        22 -> spawn(fun() -> ok end);
        23 -> whereis(procket_memory);
        24 -> fun() -> ok end;
        25 -> nil;
        26 -> one_of([inet, inet6, unix, netlink, packet, stream, dgram, raw, udp, tcp, icmp, true, false, once, read, write, any]);
        27 -> {127, 0, 0, 1};
        28 -> {256, -1, a, 1.0};
        29 -> one_of(['SOL_SOCKET', 'SO_TYPE', 'SO_RCVBUF', no_constant]);
        30 -> 16#ffff
    end.

%% Not often: 20 MB.
large() ->
    case rand:uniform(50) of
        1 -> binary:copy(<<0>>, 20_000_000);
        _ -> <<0>>
    end.
