%% @private What things cost, as ratios within one run: make bench.
-module(procket_bench).

-export([main/0]).

-define(RUNS, 5).

-spec main() -> no_return().
main() ->
    ok = io:setopts([{encoding, unicode}]),
    Rows = [{Name, median([time(Fun, Count) || _ <- lists:seq(1, ?RUNS)])} || {Name, Count, Fun} <- rows()],
    {_, Base} = hd(Rows),
    io:format("~-58ts ~12ts ~10ts~n", ["median of " ++ integer_to_list(?RUNS) ++ " runs", "µs", "ratio"]),
    [io:format("~-58ts ~12.2f ~10.4f~n", [Name, Time, Time / Base]) || {Name, Time} <- Rows],
    halt().

rows() ->
    {ok, Socket} = gen_udp:open(0),
    {ok, Foreign} = inet:getfd(Socket),
    Cat = open_port({spawn_executable, os:find_executable("cat")}, [{packet, 2}, binary]),
    [
        {"a new process for each open (procket --version)", 20, fun new_process/0},
        {"open and close through the living opener", 1000, fun open_and_close/0},
        {"socket and close through the worker", 1000, fun socket_and_close/0},
        {"prim_file: open and close of /dev/null", 1000, fun prim_file_open_and_close/0},
        {"a {packet,2} port that sleeps (cat), round trip", 1000, fun() -> cat(Cat) end},
        {"a call without a descriptor (errno_id)", 1000, fun() -> eacces = procket:errno_id(13) end},
        {"a call on a descriptor (getsockname)", 1000, fun() -> {ok, _} = procket:getsockname(Foreign, <<0:128>>) end}
    ].

new_process() ->
    Port = open_port({spawn_executable, procket:progname()}, [{args, ["--version"]}, exit_status, binary]),
    receive {Port, {exit_status, 0}} -> ok end.

open_and_close() ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    ok = procket:close(FD).

socket_and_close() ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD).

%% The floor of procket:close/1, which goes through prim_file.
prim_file_open_and_close() ->
    {ok, File} = prim_file:open(<<"/dev/null">>, [read]),
    ok = prim_file:close(File).

cat(Port) ->
    true = port_command(Port, <<"request">>),
    receive {Port, {data, _}} -> ok end.

time(Fun, Count) ->
    Fun(),
    {Time, ok} = timer:tc(fun() -> repeat(Fun, Count) end),
    Time / Count.

repeat(_Fun, 0) ->
    ok;
repeat(Fun, Count) ->
    _ = Fun(),
    repeat(Fun, Count - 1).

median(Times) ->
    lists:nth((length(Times) + 1) div 2, lists:sort(Times)).
