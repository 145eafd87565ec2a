%% @private
%% What `procket:open/2' and `procket:dev/2' ask of an opener, made from their options.
-module(procket_open).

-export([socket/2, device/2, capture/4, socket_numbers/3, commands/1, check/1]).

-type how() :: #{exec := [string()], progname => string(), pipe => file:filename()}.

%% Opens a socket.
-spec socket(inet:port_number(), [procket:open_opt() | term()]) -> {ok, procket:fd()} | {error, procket:posix()}.
socket(Port, Options) ->
    case proplists:get_value(dev, Options) of
        undefined -> open(open, socket_request(Port, Options), how(Options));
        Name -> device(Name, Options)
    end.

%% Opens a character device.
-spec device(string(), [procket:open_opt() | term()]) -> {ok, procket:fd()} | {error, procket:posix()}.
device(Name, Options) ->
    open(dev, #{name => device_name(Name), namespace => namespace(Options)}, how(Options)).

%% Opens a packet socket that receives nothing yet: packets of an interface, or of all for an empty name, that pass the filter.
-spec capture(raw | dgram, Interface :: binary(), Filter :: binary(), [procket:open_opt()]) ->
    {ok, procket:fd()} | {error, procket:posix()}.
capture(Type, Interface, Filter, Options) ->
    open(
        capture,
        #{type => type(Type, 0, packet), interface => Interface, namespace => namespace(Options), filter => Filter},
        how(Options)
    ).

%% Family, type and protocol as socket(2) takes them.
-spec socket_numbers(procket:family(), procket:type(), procket:protocol()) ->
    {non_neg_integer(), non_neg_integer(), non_neg_integer()}.
socket_numbers(Family, Type, Protocol) when Type =/= undefined ->
    {procket_names:family(Family), type(Type, Protocol, Family), protocol(Protocol)}.

%% The commands that would be tried.
-spec commands([procket:open_opt() | term()]) -> [procket_command:command()].
commands(Options) ->
    #{exec := Prefixes} = How = how(Options),
    [procket_command:opener(Prefix, How) || Prefix <- Prefixes].

%% Each command in turn: the next one only where the one before it was not allowed, or not there.

-spec open(open | dev | capture, term(), how()) -> {ok, procket:fd()} | {error, procket:posix()}.
open(Function, Request, #{exec := Prefixes} = How) ->
    case try_each(Prefixes, {error, enoent}, [], fun(Prefix) -> run(procket_command:opener(Prefix, How), Function, Request, How) end) of
        {ok, FD} ->
            {ok, FD};
        {Error, Denials} ->
            lists:foreach(fun(Denial) -> procket_denial:log(Denial, Function, Request) end, Denials),
            Error
    end.

try_each([], Error, Denials, _Run) ->
    {Error, lists:reverse(Denials)};
try_each([Prefix | Prefixes], Before, Denials, Run) ->
    case Run(Prefix) of
        {ok, FD} ->
            {ok, FD};
        {denied, {_, Reason, _} = Denial} ->
            next(Prefixes, Before, Reason, [Denial | Denials], Run);
        {error, Reason} ->
            next(Prefixes, Before, Reason, Denials, Run)
    end.

next(Prefixes, Before, Reason, Denials, Run) when Reason =:= eacces; Reason =:= eperm; Reason =:= enoent ->
    try_each(Prefixes, preferred(Before, {error, Reason}), Denials, Run);
next(_Prefixes, _Before, Reason, Denials, _Run) ->
    try_each([], {error, Reason}, Denials, none).

%% Prefer EACCES and EPERM over ENOENT.
preferred({error, enoent}, Later) -> Later;
preferred(Before, _Later) -> Before.

run(Command, Function, Request, How) ->
    case ask(Command, Function, Request, How) of
        {ok, [FD]} -> {ok, FD};
        {{error, {Posix, Why}}, []} when is_atom(Posix), is_binary(Why) -> {denied, procket_denial:new(Command, Posix, Why)};
        {{error, {badarg, Key}}, []} -> bad_option(Key, maps:get(Key, Request, undefined));
        {{error, _} = Error, []} -> Error;
        {error, _} = Error -> Error
    end.

ask(Command, Function, Request, #{pipe := Path}) ->
    ask_alone(#{command => Command, pipe => Path}, Function, Request);
ask(Command, Function, Request, #{}) ->
    case procket_command:is_lasting(Command) andalso procket_client:open(Command, Function, [Request]) of
        NotKept when NotKept =:= false; NotKept =:= {error, full} -> ask_alone(#{command => Command}, Function, Request);
        Result -> Result
    end.

%% By an opener that serves this call and no other.
ask_alone(Options, Function, Request) ->
    ok = procket_app:ensure_started(),
    case procket_sup:start_port(Options) of
        {ok, Pid} ->
            Result =
                case procket_port:await(Pid) of
                    {ok, #{server := Pid}} -> procket_client:call_alone(Pid, Function, [Request]);
                    noproc -> {error, epipe};
                    {error, _} = Error -> Error
                end,
            procket_port:stop(Pid),
            Result;
        {error, _} = Error ->
            Error
    end.

%% Options

%% Raises `badarg' for an option whose value is none, as {@link socket/2} would.
-spec check({exec | progname | pipe | namespace, term()}) -> ok.
check({namespace, Path}) ->
    _ = string(namespace, Path),
    ok;
check({Key, Value}) ->
    _ = how_value(Key, Value),
    ok.

-spec how([term()]) -> how().
how(Options) ->
    maps:merge(#{exec => ["", "sudo"]}, maps:map(fun how_value/2, proplists:to_map(chosen([exec, progname, pipe], Options)))).

%% The first of each, as proplists:get_value/2 chooses.
chosen(Keys, Options) ->
    [{Key, Value} || Key <- Keys, {_, Value} <- [proplists:lookup(Key, Options)]].

how_value(exec, [_ | _] = Prefixes) when length(Prefixes) > 0 ->
    [string(exec, Prefix) || Prefix <- Prefixes];
how_value(progname, Progname) ->
    string(progname, Progname);
how_value(pipe, Path) ->
    absolute(string(pipe, Path));
how_value(Key, Value) ->
    bad_option(Key, Value).

string(Key, Value) when is_list(Value); is_binary(Value) ->
    %% What is no text at all, as an improper list, raises.
    try unicode:characters_to_list(Value) of
        String when is_list(String) ->
            case lists:member(0, String) of
                true -> bad_option(Key, Value);
                false -> String
            end;
        _ ->
            bad_option(Key, Value)
    catch
        error:badarg -> bad_option(Key, Value)
    end;
string(Key, Value) ->
    bad_option(Key, Value).

socket_request(Port, Options) ->
    Get = fun(Key, Default) -> proplists:get_value(Key, Options, Default) end,
    Address = address(Get(ip, undefined)),
    Family = family(named_family(Get(family, unspec)), Get(protocol, undefined), Address),
    Type = Get(type, undefined),
    Protocol = protocol(Get(protocol, default_protocol(Family, Type))),
    maps:merge(backlog(Get(backlog, undefined)), #{
        family => procket_names:family(Family),
        type => type(Type, Protocol, Family),
        protocol => Protocol,
        address => Address,
        port => Port,
        interface => interface(Get(interface, <<>>)),
        namespace => namespace(Options)
    }).

%% The working directory of the opener is not the node's.
namespace(Options) ->
    case string(namespace, proplists:get_value(namespace, Options, "")) of
        "" -> <<>>;
        Path -> unicode:characters_to_binary(absolute(Path))
    end.

absolute("/" ++ _ = Path) -> Path;
absolute(Path) -> filename:absname(Path).

address(undefined) ->
    <<>>;
address({_, _, _, _} = IP) ->
    binary_address(IP, 8);
address({_, _, _, _, _, _, _, _} = IP) ->
    binary_address(IP, 16);
address(String) ->
    case inet:parse_address(string(ip, String)) of
        {ok, IP} -> address(IP);
        {error, _} -> bad_option(ip, String)
    end.

binary_address(IP, Bits) ->
    case inet:ntoa(IP) of
        {error, einval} -> bad_option(ip, IP);
        _ -> <<<<N:Bits>> || N <- tuple_to_list(IP)>>
    end.

%% A number implies what its name does.
named_family(Number) when is_integer(Number), Number >= 0, Number =< 16#ffff ->
    hd([Name || Name <- [unspec, inet, inet6, local], procket_names:family(Name) =:= Number] ++ [Number]);
named_family(Name) when is_atom(Name) -> Name;
named_family(Family) -> bad_option(family, Family).

family(unspec, Protocol, _) when Protocol =:= icmp6; Protocol =:= 'ipv6-icmp'; Protocol =:= 58 -> inet6;
family(unspec, _, <<_:16/binary>>) -> inet6;
family(unspec, _, _) -> inet;
family(Family, _, _) -> Family.

%% tcp, where it means anything: not for another type, nor outside of inet and inet6.
default_protocol(Family, undefined) when Family =:= inet; Family =:= inet6 -> tcp;
default_protocol(_Family, _Type) -> 0.

protocol(ip) -> 0;
protocol(icmp) -> 1;
protocol(tcp) -> 6;
protocol(udp) -> 17;
protocol(ipv6) -> 41;
protocol(icmp6) -> 58;
protocol('ipv6-icmp') -> 58;
protocol(raw) -> 255;
protocol(N) when is_integer(N), N >= 0, N =< 16#7fffffff -> N;
protocol(Protocol) -> bad_option(protocol, Protocol).

type(stream, _, _) -> 1;
type(dgram, _, _) -> 2;
type(raw, _, _) -> 3;
type(seqpacket, _, _) -> 5;
type(N, _, _) when is_integer(N), N >= 0, N =< 16#7fffffff -> type_number(procket_names:socket_type(N));
type(undefined, Protocol, Family) when Family =:= inet; Family =:= inet6 -> implied_type(Protocol);
type(undefined, _, Family) when Family =:= local; Family =:= unix; Family =:= file -> 1;
type(undefined, _, _) -> 3;
type(Type, _, _) -> bad_option(type, Type).

type_number(N) when N =< 16#7ff -> N;
type_number(N) -> bad_option(type, N).

implied_type(6) -> 1;
implied_type(17) -> 2;
implied_type(_) -> 3.

interface(Interface) ->
    name(interface, Interface, "._-:@").

device_name(Name) ->
    case name(dev, Name, "._-:@/") of
        <<>> ->
            bad_option(dev, Name);
        Binary ->
            Parts = binary:split(Binary, <<"/">>, [global]),
            case [Part || Part <- Parts, lists:member(Part, [<<>>, <<".">>, <<"..">>])] of
                [] -> Binary;
                _ -> bad_option(dev, Name)
            end
    end.

%% A name of letters, digits and some others.
name(Key, Value, Others) ->
    String = string(Key, Value),
    Good = fun(C) ->
        (C >= $a andalso C =< $z) orelse (C >= $A andalso C =< $Z) orelse (C >= $0 andalso C =< $9) orelse
            lists:member(C, Others)
    end,
    case lists:all(Good, String) of
        true -> list_to_binary(String);
        false -> bad_option(Key, Value)
    end.

%% None: the socket does not listen.
backlog(undefined) -> #{};
backlog(N) when is_integer(N), N >= 0, N =< 16#7fffffff -> #{backlog => N};
backlog(N) -> bad_option(backlog, N).

-spec bad_option(atom(), term()) -> no_return().
bad_option(Key, Value) ->
    procket_error:badarg({option, {Key, Value}}).
