%% @private
%% Starts a capture process and opens what it captures from: docs/protocol.md, "Functions of a capture". That takes as long as an opener and
%% the compiler of filters take, so it is done by a process of its own, and the socket serves others meanwhile.
-module(gen_raw_capture).

-export([start_link/2, refused/2, info/2]).

-export_type([capture/0]).

%% `start': the argument of the function `start', on which packets come.
-type capture() :: #{port := port(), socket := socket:socket(), os_pid := pos_integer(), start := #{filter := binary(), _ => _}}.
-type interface() :: any | none | {Name :: binary(), Index :: pos_integer(), MAC :: binary(), MTU :: integer(), Hardware :: integer()}.

%% How long the capture process may take to answer, in milliseconds.
-define(TIMEOUT, 10_000).

%% Starts a capture process. The calling process gets `{gen_raw_capture, Pid, {ok, capture()} | {error, Reason}}', and owns port and
%% socket then.
-spec start_link(gen_raw_opts:options(), Credit :: pos_integer()) -> pid().
start_link(Options, Credit) ->
    Parent = self(),
    spawn_link(fun() ->
        %% If the parent ends, what was opened is still closed.
        _ = process_flag(trap_exit, true),
        Parent ! {?MODULE, self(), try start(Options, Credit, Parent) catch throw:{error, _} = Error -> Error end}
    end).

-spec start(gen_raw_opts:options(), pos_integer(), pid()) -> {ok, capture()}.
start(#{source := {fd, _}, filter := {expression, _}}, _Credit, _Parent) ->
    throw({error, {filter, "an expression is compiled for an interface; for a descriptor there are instructions"}});
start(#{source := {fd, FD}} = Options, Credit, Parent) ->
    connected(Parent, fun(Socket) ->
        ok = done(request(Socket, descriptor, [], [FD])),
        begin_with(value(gen_raw_filter:program(Options, none)), Options, Credit)
    end);
start(#{source := {interface, Name}, open := Open} = Options, Credit, Parent) ->
    connected(Parent, fun(Socket) ->
        with_descriptor(procket_open:socket(0, [{family, netlink}, {type, raw}, {protocol, 0} | Open]), fun(Netlink) ->
            Interface = interface(request(Socket, interface, [Name], [Netlink])),
            Program = value(gen_raw_filter:program(Options, hardware(Interface))),
            %% The packet socket comes with its filter: the opener may lock that.
            Opened = procket_open:capture(type(Options), name(Interface), Program, Open),
            ok = with_descriptor(refused_packet(Opened, Program), fun(Packet) ->
                ok = done(request(Socket, packet, [], [Packet]))
            end),
            begin_with(<<>>, Options, Credit)
        end)
    end).

connected(Parent, Introduce) ->
    case procket_spawn:connect(#{command => procket_command:capture()}) of
        {ok, Port, Socket, OsPid} ->
            try
                Start = Introduce(Socket),
                ok = procket_spawn:hand_over(Port, Socket, Parent),
                {ok, #{port => Port, socket => Socket, os_pid => OsPid, start => Start}}
            catch
                throw:{error, _} = Error ->
                    procket_spawn:close_port(Port),
                    _ = socket:close(Socket),
                    throw(Error)
            end;
        {error, _} = Error ->
            throw(Error)
    end.

with_descriptor(Opened, Use) ->
    FD = value(Opened),
    try
        Use(FD)
    after
        procket_fd:close(FD)
    end.

type(#{link := raw}) -> raw;
type(#{link := cooked}) -> dgram.

begin_with(Program, Options, Credit) ->
    (maps:with([promiscuous, buffer, timestamps], Options))#{
        ether_type => gen_raw_filter:bound(Options),
        snapshot_length => maps:get(snaplen, Options),
        cooked => maps:get(link, Options) =:= cooked,
        filter => Program,
        credit => Credit
    }.

%% Nothing else of a packet socket takes what this limits.
refused_packet({error, enomem}, Program) when Program =/= <<>> ->
    {error, {filter, "the kernel has no room for the program: net.core.optmem_max is too low"}};
refused_packet(Result, Program) ->
    refused(Result, Program).

%% Names the filter, if it is what the kernel refuses.
-spec refused(Result, Program :: binary()) -> Result | {error, {filter, string()}}.
refused({error, einval}, Program) when Program =/= <<>> -> {error, {filter, "the kernel refuses the program"}};
refused(Result, _Program) -> Result.

request(Socket, Function, Args, FDs) ->
    case procket_connection:call_now(Socket, {0, Function, Args}, FDs, ?TIMEOUT) of
        {ok, {0, Result}} -> Result;
        {ok, _} -> {error, eproto};
        {error, _} = Error -> Error
    end.

value({ok, Value}) -> Value;
value({error, _} = Error) -> throw(Error).

done(ok) -> ok;
done({error, _} = Error) -> throw(Error).

-spec interface(term()) -> interface().
interface(ok) -> any;
interface({ok, Name, Index, MAC, MTU, Hardware}) -> {Name, Index, MAC, MTU, Hardware};
interface({error, _} = Error) -> throw(Error).

name({Name, _Index, _MAC, _MTU, _Hardware}) -> Name;
name(any) -> <<>>.

hardware({_Name, _Index, _MAC, _MTU, Hardware}) -> Hardware;
hardware(any) -> any.

%% What `gen_raw:info/1' says, from what the capture process says.
-spec info(gen_raw_opts:options(), term()) -> {ok, gen_raw:info()} | {error, procket:posix()}.
info(#{source := {fd, FD}}, ok) ->
    {ok, #{fd => FD}};
info(#{link := Link}, ok) ->
    {ok, #{interface => "any", index => 0, link => Link, link_type => gen_raw_filter:link_type(any, Link)}};
info(#{link := Link}, {ok, Name, Index, MAC, MTU, Hardware}) ->
    {ok, #{
        interface => binary_to_list(Name),
        index => Index,
        mac => list_to_tuple(binary_to_list(MAC)),
        mtu => MTU,
        hardware => Hardware,
        link => Link,
        link_type => gen_raw_filter:link_type(Hardware, Link)
    }};
info(_Options, {error, _} = Error) ->
    Error.
