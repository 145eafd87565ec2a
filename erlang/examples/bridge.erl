%% @doc Forwards frames between two interfaces, through Erlang, both ways: two ends of veth pairs, or two TAP devices.
%%
%% ```
%% 1> c("erlang/examples/bridge.erl").
%% 2> os:cmd("ip link add left type veth peer name left1; ip link add right type veth peer name right1").
%% 3> os:cmd("for i in left left1 right right1; do ip link set $i up; done").
%% 4> {ok, Bridge} = bridge:start("left1", "right1", []).
%% 5> {ok, {_ToTheRight, _ToTheLeft}} = bridge:stop(Bridge).
%% '''
-module(bridge).

-export([start/3, stop/1]).

%% Packets that a side may get before it asks for more.
-define(PACKETS, 1000).

%% @doc Starts it. A source is an interface or `{fd, FD}', as {@link gen_raw:open/2} has it; the options are for both sides.
-spec start(gen_raw:source(), gen_raw:source(), [gen_raw:option()]) -> {ok, pid()} | {error, term()}.
start(Left, Right, Options) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> init(Self, Left, Right, Options) end),
    receive
        {Pid, Result} ->
            true = demonitor(Monitor, [flush]),
            Result;
        {'DOWN', Monitor, process, Pid, Reason} ->
            {error, Reason}
    end.

%% @doc Ends it, with the number of frames that went from left to right and from right to left.
-spec stop(pid()) -> {ok, {non_neg_integer(), non_neg_integer()}} | {error, closed}.
stop(Bridge) ->
    Monitor = monitor(process, Bridge),
    Bridge ! {stop, self()},
    receive
        {Bridge, Counts} ->
            true = demonitor(Monitor, [flush]),
            {ok, Counts};
        {'DOWN', Monitor, process, Bridge, _} ->
            {error, closed}
    end.

init(Starter, Left, Right, Options) ->
    case open([Left, Right], Options) of
        {ok, [A, B]} ->
            Starter ! {self(), {ok, self()}},
            loop(#{A => {B, 0}, B => {A, 0}}, A, B);
        {error, _} = Error ->
            Starter ! {self(), Error}
    end.

open([], _Options) ->
    {ok, []};
open([Source | Sources], Options) ->
    case gen_raw:open(Source, [{active, ?PACKETS} | own(Source, Options)]) of
        {ok, Socket} ->
            case open(Sources, Options) of
                {ok, Sockets} ->
                    {ok, [Socket | Sockets]};
                {error, _} = Error ->
                    ok = gen_raw:close(Socket),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

%% What this sends does not come back. A device has no other direction.
own({fd, _}, Options) -> Options;
own(_Interface, Options) -> [{direction, in}, {promiscuous, true} | Options].

loop(Sides, A, B) ->
    receive
        {raw, From, Frames} ->
            #{From := {To, Count}} = Sides,
            loop(Sides#{From := {To, Count + forward(To, Frames)}}, A, B);
        {raw_passive, From} ->
            ok = gen_raw:setopts(From, [{active, ?PACKETS}]),
            loop(Sides, A, B);
        %% A side that is down may come up; one that is gone ends it.
        {raw_error, _, _} ->
            loop(Sides, A, B);
        {raw_closed, _} ->
            lists:foreach(fun gen_raw:close/1, [A, B]);
        {stop, To} ->
            lists:foreach(fun gen_raw:close/1, [A, B]),
            #{A := {B, Right}, B := {A, Left}} = Sides,
            To ! {self(), {Right, Left}}
    end.

%% A frame that is not taken is lost, as on any bridge: too long, or the other side is down. Those behind it still go.
forward(_To, []) ->
    0;
forward(To, Frames) ->
    case gen_raw:send(To, Frames) of
        ok -> length(Frames);
        {error, {closed, Sent}} -> Sent;
        {error, {_Reason, Sent}} -> Sent + forward(To, lists:nthtail(Sent + 1, Frames))
    end.
