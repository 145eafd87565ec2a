%% @private What a packet costs, against other ways to get it, on a veth pair in a namespace of its own: make bench.
-module(gen_raw_bench).

-export([main/1]).

-define(NAMESPACE, "procket-bench").
-define(TX, "pkt-tx").
-define(RX, "pkt-rx").
-define(BUFFER, 33_554_432).
-define(SO_RCVBUFFORCE, 33).
-define(SOL_SOCKET, 1).
%% linux/if_ether.h, in network order.
-define(ETH_P_ALL, 16#0300).
-define(RUNS, 5).
%% A receiver waits so long for more, in milliseconds.
-define(QUIET, 700).

-spec main([string()]) -> no_return().
main([Flood]) ->
    ok = io:setopts([{encoding, unicode}]),
    _ = ip("netns del " ++ ?NAMESPACE),
    _ = ip("netns add " ++ ?NAMESPACE),
    try
        _ = [ip("-n " ++ ?NAMESPACE ++ " " ++ Line) || Line <- [
            "link add " ++ ?TX ++ " type veth peer name " ++ ?RX, "link set " ++ ?TX ++ " up", "link set " ++ ?RX ++ " up"
        ]],
        timer:sleep(1500),
        receiving(Flood),
        injecting(Flood),
        resting()
    after
        ip("netns del " ++ ?NAMESPACE)
    end,
    halt().

%% Receiving

receiving(Flood) ->
    io:format("~n~-52ts ~8ts ~9ts ~9ts ~9ts ~7ts ~7ts~n", [
        "packets received, median of " ++ integer_to_list(?RUNS) ++ " runs", "arrived", "BEAM µs", "port µs", "sum µs", "BEAM :", "sum :"
    ]),
    [
        begin
            %% One after the other, so that what else goes on meets all.
            Runs = [[measure(Way, Flood, Size, Count, Rate) || Way <- Ways] || _ <- lists:seq(1, ?RUNS)],
            Results = [median([lists:nth(N, Run) || Run <- Runs]) || N <- lists:seq(1, length(Ways))],
            #{beam := Base} = hd(Results),
            [print(Title, Way, Result, Base) || {Way, Result} <- lists:zip(Ways, Results)]
        end
     || {Title, Size, Count, Rate, Ways} <- [
            {"64 bytes, full speed", 64, 1_000_000, 0, [socket, fd, active, recv]},
            {"1,500 bytes, full speed", 1500, 300_000, 0, [socket, fd, active, recv]},
            {"64 bytes, 200,000/s", 64, 600_000, 200_000, [socket, active]}
        ]
    ].

print(Title, Way, #{arrived := Arrived, sent := Sent, beam := Beam, port := Port, order := Order}, Base) ->
    io:format("~-52ts ~7.2f% ~9.3f ~9.3f ~9.3f ~7.3f ~7.3f ~ts~n", [
        Title ++ ": " ++ name(Way), 100 * Arrived / Sent, Beam, Port, Beam + Port, Beam / Base, (Beam + Port) / Base, Order
    ]).

name(socket) -> "socket, recv on select";
name(fd) -> "open_port({fd, …})";
name(active) -> "gen_raw, active";
name(recv) -> "gen_raw, recv/2".

median(Results) ->
    Sorted = lists:sort(fun(#{sum := A}, #{sum := B}) -> A =< B end, Results),
    lists:nth((length(Sorted) + 1) div 2, Sorted).

%% CPU time a packet that arrived, in microseconds.
measure(Way, Flood, Size, Count, Rate) ->
    {Receive, Pid, Close} = open(Way),
    erlang:garbage_collect(),
    timer:sleep(200),
    Before = {cpu("self"), cpu(Pid)},
    Sender = flood(Flood, Size, Count, Rate),
    {Arrived, Order} = Receive(Count),
    After = {cpu("self"), cpu(Pid)},
    _Time = finished(Sender),
    Close(),
    {Beam, Port} = {used(1, Before, After, Arrived), used(2, Before, After, Arrived)},
    #{arrived => Arrived, sent => Count, beam => Beam, port => Port, sum => Beam + Port, order => Order}.

used(N, Before, After, Packets) ->
    (element(N, After) - element(N, Before)) / 1000 / max(1, Packets).

open(socket) ->
    FD = packet_socket(),
    {ok, Socket} = socket:open(FD, #{dup => true}),
    Receive = fun(Count) -> ordered(fun() -> socket_next(Socket) end, Count) end,
    {Receive, none, fun() -> _ = socket:close(Socket), procket:close(FD) end};
open(fd) ->
    FD = packet_socket(),
    Port = open_port({fd, FD, FD}, [in, binary]),
    Next = fun() -> receive {Port, {data, Packet}} -> [Packet] after ?QUIET -> none end end,
    {fun(Count) -> ordered(Next, Count) end, none, fun() -> port_close(Port), procket:close(FD) end};
open(active) ->
    {Socket, Pid} = raw(true),
    Next = fun() -> receive {raw, Socket, Packets} -> Packets after ?QUIET -> none end end,
    {fun(Count) -> ordered(Next, Count) end, Pid, fun() -> gen_raw:close(Socket) end};
open(recv) ->
    {Socket, Pid} = raw(false),
    Next = fun() ->
        case gen_raw:recv(Socket, ?QUIET) of
            {ok, Packets} -> Packets;
            {error, timeout} -> none
        end
    end,
    {fun(Count) -> ordered(Next, Count) end, Pid, fun() -> gen_raw:close(Socket) end}.

raw(Active) ->
    {ok, Socket} = gen_raw:open(?RX, options(Active)),
    [Pid] = [integer_to_list(OsPid) || #{socket := S, os_pid := OsPid} <- procket:info(), S =:= Socket],
    {Socket, Pid}.

options(Active) ->
    [{active, Active}, {buffer, ?BUFFER}, {namespace, "/run/netns/" ++ ?NAMESPACE}].

packet_socket() ->
    Options = [{family, packet}, {type, raw}, {protocol, ?ETH_P_ALL}, {interface, ?RX}, {namespace, "/run/netns/" ++ ?NAMESPACE}],
    {ok, FD} = procket:open(0, Options),
    ok = procket:setsockopt(FD, ?SOL_SOCKET, ?SO_RCVBUFFORCE, <<?BUFFER:32/native>>),
    FD.

socket_next(Socket) ->
    case socket:recv(Socket, 0, nowait) of
        {ok, Packet} ->
            [Packet];
        {select, {select_info, _, Ref}} ->
            receive
                {'$socket', Socket, select, Ref} -> socket_next(Socket)
            after ?QUIET -> none
            end
    end.

%% Counts, and looks at each number that is there: whether they come in order.
ordered(Next, Count) ->
    ordered(Next, Count, -1, 0, "in order").

ordered(_Next, Count, _Last, Count, Order) ->
    {Count, Order};
ordered(Next, Count, Last, Arrived, Order) ->
    case Next() of
        none -> {Arrived, Order};
        Packets -> numbers(Packets, Next, Count, Last, Arrived, Order)
    end.

numbers([<<_:96, 16#88b5:16, Number:32, _/binary>> | Packets], Next, Count, Last, Arrived, Order) when Number > Last ->
    numbers(Packets, Next, Count, Number, Arrived + 1, Order);
numbers([<<_:96, 16#88b5:16, Number:32, _/binary>> | Packets], Next, Count, _Last, Arrived, _Order) ->
    numbers(Packets, Next, Count, Number, Arrived + 1, "NOT in order");
%% What the kernel sends by itself.
numbers([_ | Packets], Next, Count, Last, Arrived, Order) ->
    numbers(Packets, Next, Count, Last, Arrived, Order);
numbers([], Next, Count, Last, Arrived, Order) ->
    ordered(Next, Count, Last, Arrived, Order).

%% Sending

injecting(Flood) ->
    Count = 500_000,
    Options = [{protocol, 0}, {buffer, 1}, {namespace, "/run/netns/" ++ ?NAMESPACE}],
    {ok, Socket} = gen_raw:open(?TX, Options),
    Frames = [<<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#88b5:16, N:32, 0:368>> || N <- lists:seq(1, Count)],
    Pairs = [{finished(flood(Flood, 64, Count, 0)), time(fun() -> ok = gen_raw:send(Socket, Frames) end)} || _ <- lists:seq(1, 5)],
    ok = gen_raw:close(Socket),
    {Theirs, Ours} = lists:nth(3, lists:sort(fun({A, B}, {C, D}) -> A / B =< C / D end, Pairs)),
    io:format("~n~-52ts ~12ts ~8ts~n", ["64-byte frames sent, median of 5 runs", "frames/s", "ratio"]),
    [
        io:format("~-52ts ~12b ~8.3f~n", [Name, round(Count / Time * 1.0e9), Theirs / Time])
     || {Name, Time} <- [{"a loop around sendmmsg(2)", Theirs}, {"gen_raw:send/2, a list", Ours}]
    ].

time(Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    erlang:monotonic_time(nanosecond) - Start.

%% Doing nothing

%% In VMs of their own: this one has work to do, to look at them. One of them is without procket, as a VM does something by itself.
resting() ->
    Open = lists:flatten(io_lib:format("{ok, _} = gen_raw:open(~p, ~p)", [?RX, options(true)])),
    Beams = [beam(First) || First <- ["ok", Open]],
    timer:sleep(5000),
    [[Without | _], With] = [processes_below(Pid) || {_, Pid} <- Beams],
    Processes = [{Without, "a BEAM without procket"} | [{Pid, name_of(Pid)} || Pid <- With]],
    Before = [{ticks(Pid), cpu(Pid)} || {Pid, _} <- Processes],
    timer:sleep(10_000),
    After = [{ticks(Pid), cpu(Pid)} || {Pid, _} <- Processes],
    io:format("~n~-52ts ~12ts ~8ts~n", ["idle for 10 s, with an active socket", "CPU ticks", "CPU µs"]),
    [
        io:format("~-52ts ~12b ~8b~n", [Name, Ticks2 - Ticks1, (CPU2 - CPU1) div 1000])
     || {{_, Name}, {Ticks1, CPU1}, {Ticks2, CPU2}} <- lists:zip3(Processes, Before, After)
    ],
    [Capture] = [Pid || {Pid, "procket capture"} <- Processes],
    {ok, Status} = file:read_file("/proc/" ++ Capture ++ "/status"),
    {match, [Resident]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    io:format("memory of procket capture beside the ring: ~b KiB~n", [list_to_integer(Resident) - ?BUFFER div 1024]),
    [port_close(Port) || {Port, _} <- Beams].

%% Ends when its port is closed.
beam(First) ->
    Ebin = filename:dirname(code:which(procket)),
    Args = ["-noshell", "-pa", Ebin, "-eval", First ++ ", io:get_line([]), halt()."],
    Port = open_port({spawn_executable, os:find_executable("erl")}, [{args, Args}, in, out]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    {Port, integer_to_list(Pid)}.

%% A process and all that it started.
processes_below(Pid) ->
    [Pid | lists:append([processes_below(Child) || Child <- children(Pid)])].

children(Pid) ->
    lists:append([
        string:lexemes(binary_to_list(Line), " ")
     || File <- filelib:wildcard("/proc/" ++ Pid ++ "/task/*/children"), {ok, Line} <- [file:read_file(File)]
    ]).

name_of(Pid) ->
    {ok, Line} = file:read_file("/proc/" ++ Pid ++ "/cmdline"),
    case binary:split(Line, <<0>>, [global]) of
        [Program, Role, <<>>] -> filename:basename(binary_to_list(Program)) ++ " " ++ binary_to_list(Role);
        [Program | _] -> hd(string:lexemes(filename:basename(binary_to_list(Program)), " "))
    end.

ticks(Pid) ->
    {ok, Stat} = file:read_file("/proc/" ++ Pid ++ "/stat"),
    [_, Fields] = binary:split(Stat, <<") ">>),
    Words = binary:split(Fields, <<" ">>, [global]),
    binary_to_integer(lists:nth(12, Words)) + binary_to_integer(lists:nth(13, Words)).

%% Nanoseconds on a CPU, of all threads.
cpu(none) ->
    0;
cpu(Pid) ->
    {ok, Tasks} = file:list_dir("/proc/" ++ Pid ++ "/task"),
    lists:sum([on_cpu("/proc/" ++ Pid ++ "/task/" ++ Task ++ "/schedstat") || Task <- Tasks]).

on_cpu(File) ->
    case file:read_file(File) of
        {ok, Line} -> binary_to_integer(hd(binary:split(Line, <<" ">>)));
        {error, _} -> 0
    end.

flood(Flood, Size, Count, Rate) ->
    Args = ["netns", "exec", ?NAMESPACE, Flood, ?TX | [integer_to_list(N) || N <- [Size, Count, Rate]]],
    open_port({spawn_executable, os:find_executable("ip")}, [{args, Args}, exit_status, in, {line, 100}]).

%% The nanoseconds that it sent for.
finished(Port) ->
    receive
        {Port, {data, {eol, Line}}} ->
            receive {Port, {exit_status, 0}} -> list_to_integer(Line) end
    after 60_000 -> error(no_end)
    end.

ip(Line) ->
    os:cmd("ip " ++ Line).
