%% @private What a call costs, against other ways to the same end, in one run: make bench. The table is also written to
%% `_build/bench/calls.csv'.
-module(procket_bench).

-export([main/1]).

-define(RUNS, 5).
-define(DATAGRAMS, 64).
-define(SOL_SOCKET, 1).
-define(SO_RCVBUF, 8).
-define(FIONREAD, 16#541b).

-spec main([Echo :: file:filename()]) -> no_return().
main([Echo]) ->
    ok = io:setopts([{encoding, unicode}]),
    {ok, _} = application:ensure_all_started(procket),
    Tables = [calls(Echo), datagrams(), opening(), starting(), callers()],
    ok = file:write_file("_build/bench/calls.csv", unicode:characters_to_binary([csv(Table) || Table <- Tables])),
    lists:foreach(fun print/1, Tables),
    print_memory(),
    halt().

%% A table: its title, and rows of a name, microseconds, and what of the first row that is.

calls(Echo) ->
    Lane = echo(Echo),
    Socket = udp(),
    {ok, Foreign} = inet:getfd(Socket),
    {ok, Own} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    Cat = open_port({spawn_executable, os:find_executable("cat")}, [{packet, 2}, binary]),
    {ok, InVM} = socket:open(inet, dgram, udp),
    Rows = [
        {"a {packet,2} port that sleeps (cat), round trip", fun() -> cat(Cat) end},
        {"the least: socket:sendmsg and recv, a program that only answers", fun() -> least(Lane, []) end},
        {"the same, with a descriptor", fun() -> least(Lane, [rights(Own)]) end},
        {"procket: a call without a descriptor (errno_id)", fun() -> eacces = procket:errno_id(13) end}
    ] ++ lists:append([on(Kind, FD) || {Kind, FD} <- [{"own", Own}, {"foreign", Foreign}]]) ++ [
        {"in the VM: socket:sockname", fun() -> {ok, _} = socket:sockname(InVM) end},
        {"in the VM: socket:setopt", fun() -> ok = socket:setopt(InVM, {socket, rcvbuf}, 65_536) end}
    ],
    Measured = measure(Rows, 2000),
    true = port_close(Cat),
    ok = socket:close(Lane),
    ok = gen_udp:close(Socket),
    ok = socket:close(InVM),
    ok = procket:close(Own),
    {"a call, against a port that sleeps", Measured}.

%% What a request and an answer cost when all else costs nothing: a port process that polls, and a caller that polls.
echo(Program) ->
    Path = filename:absname("_build/bench/echo.socket"),
    _ = file:delete(Path),
    {ok, Listener} = socket:open(local, stream),
    ok = socket:bind(Listener, #{family => local, path => Path}),
    ok = socket:listen(Listener),
    _ = open_port({spawn_executable, Program}, [{args, [Path]}]),
    {ok, Lane} = socket:accept(Listener, 5000),
    ok = socket:close(Listener),
    ok = file:delete(Path),
    Lane.

least(Lane, Control) ->
    ok = socket:sendmsg(Lane, #{iov => [<<"a request of 32 bytes, as short.">>], ctrl => Control}),
    received(Lane).

received(Lane) ->
    case socket:recv(Lane, 0, [], 0) of
        {ok, _} -> ok;
        {error, timeout} -> received(Lane)
    end.

rights(FD) ->
    #{level => socket, type => rights, data => <<FD:32/native>>}.

on(Kind, FD) ->
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    [
        {"procket: getsockname, " ++ Kind ++ " descriptor", fun() -> {ok, _} = procket:getsockname(FD, <<0:128>>) end},
        {"procket: setsockopt, " ++ Kind, fun() -> ok = procket:setsockopt(FD, ?SOL_SOCKET, ?SO_RCVBUF, <<65_536:32/native>>) end},
        {"procket: ioctl, " ++ Kind, fun() -> {ok, _} = procket:ioctl(FD, ?FIONREAD, <<0:32>>) end}
    ] ++ [
        {lists:concat(["procket: sendto and recvfrom, ", Size, " bytes, ", Kind]), fun() ->
            ok = procket:sendto(FD, Data, 0, Name),
            {ok, Data, _} = procket:recvfrom(FD, Size, 0, 16)
        end}
     || Size <- [64, 1400], Data <- [binary:copy(<<"x">>, Size)]
    ].

%% The same work for each: a datagram sent and one received, to itself.
datagrams() ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    ok = procket:setsockopt(FD, 'SOL_SOCKET', 'SO_RCVBUF', <<4_000_000:32/native>>),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    {ok, InVM} = socket:open(inet, dgram, udp),
    ok = socket:setopt(InVM, {socket, rcvbuf}, 4_000_000),
    ok = socket:bind(InVM, #{family => inet, addr => loopback, port => 0}),
    {ok, Address} = socket:sockname(InVM),
    Udp = udp(),
    {ok, Port} = inet:port(Udp),
    Measured = lists:append([
        begin
            Data = binary:copy(<<"x">>, Size),
            Bytes = integer_to_list(Size) ++ " bytes",
            Many = lists:duplicate(?DATAGRAMS, {Data, Name}),
            per_datagram(measure([
                {"in the VM: socket, sendto and recvfrom, " ++ Bytes, fun() ->
                    repeat(fun() -> ok = socket:sendto(InVM, Data, Address) end, ?DATAGRAMS),
                    repeat(fun() -> {ok, {_, Data}} = socket:recvfrom(InVM, Size) end, ?DATAGRAMS)
                end},
                {"in the VM: gen_udp, send and recv, " ++ Bytes, fun() ->
                    repeat(fun() -> ok = gen_udp:send(Udp, {127, 0, 0, 1}, Port, Data) end, ?DATAGRAMS),
                    repeat(fun() -> {ok, {_, _, Data}} = gen_udp:recv(Udp, 0) end, ?DATAGRAMS)
                end},
                {"procket: sendto and recvfrom, " ++ Bytes, fun() ->
                    repeat(fun() -> ok = procket:sendto(FD, Data, 0, Name) end, ?DATAGRAMS),
                    repeat(fun() -> {ok, Data, _} = procket:recvfrom(FD, Size, 0, 16) end, ?DATAGRAMS)
                end},
                {"procket: sendmmsg and recvmmsg of 64, " ++ Bytes, fun() ->
                    {ok, ?DATAGRAMS} = procket:sendmmsg(FD, Many, 0),
                    {ok, [{Data, _} | _]} = procket:recvmmsg(FD, ?DATAGRAMS, Size, 0, 16)
                end}
            ], 100))
        end
     || Size <- [64, 1400]
    ]),
    ok = procket:close(FD),
    ok = socket:close(InVM),
    ok = gen_udp:close(Udp),
    {"a datagram sent and received, against socket in the VM", Measured}.

per_datagram(Rows) ->
    [{Name, Time / ?DATAGRAMS, Ratio} || {Name, Time, Ratio} <- Rows].

opening() ->
    Progname = procket:progname(),
    {"open and close, against a new process each", measure([
        {"a new process for each open (procket --version)", fun() -> run(Progname, ["--version"]) end, 20},
        {"procket: open and close through the living opener", fun() ->
            {ok, FD} = procket:open(0, [{protocol, udp}]),
            ok = procket:close(FD)
        end},
        {"procket: socket and close through the worker", fun() ->
            {ok, FD} = procket:socket(inet, dgram, udp),
            ok = procket:close(FD)
        end},
        {"prim_file: open and close of /dev/null, the same kind of close", fun() ->
            {ok, File} = prim_file:open(<<"/dev/null">>, [read]),
            ok = prim_file:close(File)
        end},
        {"in the VM: socket:open and close", fun() ->
            {ok, Socket} = socket:open(inet, dgram, udp),
            ok = socket:close(Socket)
        end}
    ], 1000)}.

starting() ->
    {"cold start, against a process that does nothing", measure([
        {"/bin/true, start to exit", fun() -> run("/bin/true", []) end},
        {"procket: worker, start to the first answer", fun() ->
            {ok, Server} = procket_sup:start_port(#{command => procket_command:worker()}),
            {ok, _} = procket_port:await(Server),
            {{ok, eacces}, []} = procket_client:call_alone(Server, errno_id, [13]),
            procket_port:stop(Server)
        end}
    ], 20)}.

%% So many at once, each call timed: the time of the whole a call, then of the calls the median and the longest.
callers() ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    Rows = lists:append([
        begin
            {Whole, Median, Worst} = median([contend(FD, Count) || _ <- lists:seq(1, ?RUNS)]),
            Title = integer_to_list(Count) ++ " callers at once: ",
            [{Title ++ "time of all, a call", Whole}, {Title ++ "median of the calls", Median}, {Title ++ "longest of the calls", Worst}]
        end
     || Count <- [1, 10, 100]
    ]),
    ok = procket:close(FD),
    {"getsockname by many callers, against one", with_ratios(Rows)}.

contend(FD, Count) ->
    Each = 20_000 div Count,
    Self = self(),
    {Whole, Times} = timer:tc(fun() ->
        Pids = [spawn_link(fun() -> Self ! {self(), timed(FD, Each, [])} end) || _ <- lists:seq(1, Count)],
        lists:append([receive {Pid, Times} -> Times end || Pid <- Pids])
    end),
    Sorted = lists:sort(Times),
    {Whole / length(Times), lists:nth(length(Times) div 2, Sorted) / 1000, lists:last(Sorted) / 1000}.

timed(_FD, 0, Times) ->
    Times;
timed(FD, N, Times) ->
    Before = erlang:monotonic_time(nanosecond),
    {ok, _} = procket:getsockname(FD, <<0:128>>),
    timed(FD, N - 1, [erlang:monotonic_time(nanosecond) - Before | Times]).

%% Measuring

%% Microseconds, medians of several runs that take turns.
measure(Rows, Count) ->
    All = [case Row of {_, _, _} -> Row; {Name, Fun} -> {Name, Fun, Count} end || Row <- Rows],
    Runs = [[time(Fun, N) || {_, Fun, N} <- All] || _ <- lists:seq(1, ?RUNS)],
    Names = [Name || {Name, _, _} <- All],
    with_ratios(lists:zip(Names, [median(Column) || Column <- columns(Runs)])).

with_ratios([{_, Base} | _] = Rows) ->
    [{Name, Time, Time / Base} || {Name, Time} <- Rows].

columns([[] | _]) -> [];
columns(Rows) -> [[hd(Row) || Row <- Rows] | columns([tl(Row) || Row <- Rows])].

time(Fun, Count) ->
    repeat(Fun, max(3, Count div 20)),
    {Time, ok} = timer:tc(fun() -> repeat(Fun, Count) end),
    Time / Count.

repeat(_Fun, 0) ->
    ok;
repeat(Fun, Count) ->
    _ = Fun(),
    repeat(Fun, Count - 1).

median(Values) ->
    lists:nth((length(Values) + 1) div 2, lists:sort(Values)).

udp() ->
    {ok, Socket} = gen_udp:open(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}, {recbuf, 4_000_000}]),
    Socket.

cat(Port) ->
    true = port_command(Port, <<"request">>),
    receive {Port, {data, _}} -> ok end.

run(Program, Args) ->
    Port = open_port({spawn_executable, Program}, [{args, Args}, exit_status, binary]),
    wait(Port).

wait(Port) ->
    receive
        {Port, {data, _}} -> wait(Port);
        {Port, {exit_status, 0}} -> ok
    end.

%% Printing

print({Title, Rows}) ->
    io:format("~n~-64ts ~10ts ~9ts~n", [Title ++ ", medians of " ++ integer_to_list(?RUNS), "µs", "ratio"]),
    [io:format("~-64ts ~10.2f ~9.3f~n", [Name, Time, Ratio]) || {Name, Time, Ratio} <- Rows].

csv({Title, Rows}) ->
    [io_lib:format("\"~ts\",\"~ts\",~.3f,~.4f~n", [Title, Name, Time, Ratio]) || {Name, Time, Ratio} <- Rows].

print_memory() ->
    io:format("~n~-64ts ~10ts~n", ["resident memory", "MiB"]),
    [io:format("~-64ts ~10.1f~n", [Role, resident(Pid) / 1024]) || #{role := Role, os_pid := Pid} <- procket:info()].

%% KiB.
resident(Pid) ->
    {ok, Status} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/status"),
    {match, [Size]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Size).
