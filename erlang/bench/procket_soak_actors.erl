%% @private What make soak does beside the load of calls, for as long as it runs: a slow owner of 20 active sockets on which packets of up to
%% 65 KB come, a process that waits longer for a packet than a call may take, and hostile arguments. All of it on the loopback interface.
-module(procket_soak_actors).

-export([start/0, stop/1]).

-define(SOCKETS, 20).
%% Experimental EtherTypes: IEEE 802.
-define(MANY, 16#88b5).
-define(LATE, 16#88b6).
%% The longest frame that the loopback interface takes: its MTU, and an Ethernet header.
-define(LONGEST, 65_550).

start() ->
    [spawn_monitor(fun() -> exit({Name, Actor()}) end) || {Name, Actor} <- [{slow_owner, fun slow_owner/0}, {late_packet, fun late_packet/0}, {hostile, fun hostile/0}]].

%% How often each did its work, and what was wrong.
stop(Actors) ->
    [Pid ! stop || {Pid, _} <- Actors],
    Ends = [receive {'DOWN', Monitor, process, Pid, End} -> End after 60_000 -> {no_end, process_info(Pid, current_stacktrace)} end || {Pid, Monitor} <- Actors],
    {[{Name, Count} || {Name, {ok, Count}} <- Ends], [End || End <- Ends, not is_right(End)]}.

is_right({_Name, {ok, Count}}) -> Count > 0;
is_right(_) -> false.

stopped() ->
    receive stop -> true after 0 -> false end.

%% Packets in order, and at the end none missing that was not counted.
slow_owner() ->
    Self = self(),
    Sender = spawn_link(fun() -> send_many(Self, open(?MANY, [{protocol, 0}]), 1) end),
    Sockets = maps:from_list([{open(?MANY, [{active, true}, {buffer, 1_048_576}]), {0, 0}} || _ <- lists:seq(1, ?SOCKETS)]),
    slow_owner(Sockets, Sender, 0).

slow_owner(Sockets, Sender, Count) ->
    receive
        stop ->
            Monitor = monitor(process, Sender),
            Sender ! stop,
            receive {'DOWN', Monitor, process, Sender, _} -> ok end,
            drain(Sockets, Count)
    after 0 ->
        receive
            Message ->
                timer:sleep(rand:uniform(10)),
                slow_owner(taken(Message, Sockets), Sender, Count + 1)
        after 100 -> slow_owner(Sockets, Sender, Count)
        end
    end.

%% The number of the last packet, and how many came.
taken({raw, Socket, Packets}, Sockets) ->
    case Sockets of
        #{Socket := {Last, Count}} ->
            Numbers = [N || <<_:96, ?MANY:16, N:64, _/binary>> <- Packets],
            length(Numbers) =:= length(Packets) andalso increasing([Last | Numbers]) orelse exit({not_in_order, Last, Numbers}),
            Sockets#{Socket := {lists:last(Numbers), Count + length(Packets)}};
        #{} ->
            exit({of_a_closed_socket, Socket})
    end;
taken({raw_error, _Socket, Reason}, Sockets) when Reason =:= epipe; Reason =:= etimedout ->
    Sockets;
taken({raw_closed, Socket}, Sockets) ->
    (maps:remove(Socket, Sockets))#{open(?MANY, [{active, true}, {buffer, 1_048_576}]) => {0, 0}}.

increasing(Numbers) ->
    lists:usort(Numbers) =:= Numbers.

drain(Sockets, Count) ->
    receive
        Message -> drain(taken(Message, Sockets), Count + 1)
    after 500 ->
        case lists:all(fun is_drained/1, maps:to_list(Sockets)) of
            true ->
                lists:foreach(fun gen_raw:close/1, maps:keys(Sockets)),
                {ok, Count};
            false ->
                drain(Sockets, Count)
        end
    end.

is_drained({Socket, {_, Count}}) ->
    case gen_raw:stats(Socket) of
        {ok, #{queued := 0, delivered := Delivered}} -> Delivered =:= Count orelse exit({lost, Delivered, Count});
        %% Its end is in the queue.
        {error, _} -> false;
        {ok, _} -> false
    end.

send_many(Owner, Socket, N) ->
    case stopped() of
        true ->
            gen_raw:close(Socket);
        false ->
            Frames = [frame(?MANY, Number, size()) || Number <- lists:seq(N, N + 9)],
            timer:sleep(10),
            case gen_raw:send(Socket, Frames) of
                ok -> send_many(Owner, Socket, N + 10);
                {error, {Reason, _}} when Reason =:= closed; Reason =:= etimedout ->
                    gen_raw:close(Socket),
                    send_many(Owner, open(?MANY, [{protocol, 0}]), N + 10)
            end
    end.

size() ->
    case rand:uniform(20) of
        1 -> ?LONGEST - rand:uniform(100) + 1;
        _ -> 64 + rand:uniform(1450)
    end.

frame(Type, Number, Size) ->
    <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, Type:16, Number:64, 0:((Size - 22) * 8)>>.

%% A packet that comes later than the limit of a call goes to the process that waits for it.
late_packet() ->
    late_packet(1).

late_packet(N) ->
    case stopped() of
        true ->
            {ok, N};
        false ->
            {Tx, Rx} = {open(?LATE, [{protocol, 0}]), open(?LATE, [])},
            Frame = frame(?LATE, N, 64),
            {Sender, Monitor} = spawn_monitor(fun() -> timer:sleep(5500), exit({sent, gen_raw:send(Tx, Frame)}) end),
            Received = gen_raw:recv(Rx, 20_000),
            Sent = receive {'DOWN', Monitor, process, Sender, {sent, S}} -> S end,
            _ = [gen_raw:close(Socket) || Socket <- [Tx, Rx]],
            case {Sent, Received} of
                {ok, {ok, [Frame]}} -> late_packet(N + 1);
                %% One of the captures was killed or stopped.
                {_, {error, Reason}} when Reason =:= epipe; Reason =:= closed; Reason =:= etimedout -> late_packet(N + 1);
                {{error, {Reason, _}}, {error, timeout}} when Reason =:= closed; Reason =:= etimedout -> late_packet(N + 1)
            end
    end.

hostile() ->
    {ok, Own} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, FD} = inet:getfd(Own),
    Result = hostile(#{fd => FD, socket => open(?LATE, [])}, procket_hostile:functions(), 0),
    ok = gen_udp:close(Own),
    Result.

hostile(#{socket := Socket} = Valid, Functions, Count) ->
    case {stopped(), is_process_alive(Socket)} of
        {true, _} ->
            ok = gen_raw:close(Socket),
            flushed(),
            {ok, Count};
        {false, false} ->
            hostile(Valid#{socket := open(?LATE, [])}, Functions, Count);
        {false, true} ->
            Function = lists:nth(rand:uniform(length(Functions)), Functions),
            case procket_hostile:run(Function, 1, Valid) of
                [] -> hostile(Valid, Functions, Count + 1);
                [{Args, What}] -> {wrong, Function, io_lib:format("~0P", [{Args, What}, 50])}
            end
    end.

flushed() ->
    receive _ -> flushed() after 0 -> ok end.

open(Type, Options) ->
    case gen_raw:open("lo", Options ++ [{protocol, Type}, {direction, in}, {exec, [""]}]) of
        {ok, Socket} -> Socket;
        {error, Reason} when Reason =:= epipe; Reason =:= etimedout; Reason =:= eperm -> open(Type, Options)
    end.
