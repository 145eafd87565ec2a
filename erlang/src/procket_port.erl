%% @private
%% The server of one port process: starts it, connects the channel, hands on its answers, and ends with it.
%%
%% Small requests that bring no descriptor back do not pass through here: {@link procket_call} sends them
%% itself, and this server only hands on the answers. It remembers the calls that may bring descriptors, so
%% that none is left open when their caller is gone.
-module(procket_port).
-behaviour(gen_server).

-export([start_link/1, await/1, stop/1, submit/4, taken/2, abandon/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([handle/0, options/0]).

-define(PROTOCOL, 1).
-define(START_TIMEOUT, 10_000).
%% The longest frame on stdin, and on the channel, where the kernel takes up to this length whole or not at all.
-define(MAX_FRAME, 65_535).
-define(MAX_CHANNEL_FRAME, 32_768).

-type handle() :: #{server := pid(), port := port(), channel := procket_channel:channel()}.
-type options() :: #{
    command := procket_command:command(),
    key => procket_ports:key(),
    pipe => file:filename()
}.

-type call() ::
    %% A call that may bring descriptors, and what it brought until its caller has taken it.
    {Monitor :: reference(), pending | [procket:fd()]}.

-record(state, {
    options :: options(),
    handle :: handle() | undefined,
    calls = #{} :: #{Id :: reference() => call()},
    callers = #{} :: #{Monitor :: reference() => Id :: reference()},
    parts = #{} :: procket_parts:assembly()
}).

-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    gen_server:start_link(?MODULE, Options, []).

%% The port process, started and connected by the first who asks. `noproc': that one has ended, and there can be another.
-spec await(pid()) -> {ok, handle()} | {error, procket:posix()} | noproc.
await(Pid) ->
    try
        gen_server:call(Pid, await, infinity)
    catch
        exit:{{shutdown, {posix, Reason}}, _} -> {error, Reason};
        exit:{_Reason, _} -> noproc
    end.

-spec stop(pid()) -> ok.
stop(Pid) ->
    try
        gen_server:stop(Pid)
    catch
        exit:_ -> ok
    end.

%% Sends a request on behalf of the caller: one that is longer than a frame, or may bring descriptors.
%% The answer goes to `Id', an alias of the caller.
-spec submit(handle(), Id :: reference(), Encoded :: binary(), [procket:fd()]) -> ok.
submit(#{server := Server}, Id, Encoded, FDs) ->
    gen_server:cast(Server, {submit, self(), Id, Encoded, FDs}).

%% The caller has the descriptors of the answer.
-spec taken(handle(), Id :: reference()) -> ok.
taken(#{server := Server}, Id) ->
    gen_server:cast(Server, {taken, Id}).

%% The caller waits no longer: descriptors that come for it are closed.
-spec abandon(handle(), Id :: reference()) -> ok.
abandon(#{server := Server}, Id) ->
    gen_server:cast(Server, {abandon, Id}).

-spec init(options()) -> {ok, #state{}}.
init(Options) ->
    _ = process_flag(trap_exit, true),
    {ok, #state{options = Options}}.

-spec handle_call(await, gen_server:from(), #state{}) ->
    {reply, {ok, handle()}, #state{}} | {stop, {shutdown, {posix, atom()}}, {error, atom()}, #state{}}.
handle_call(await, _From, #state{handle = undefined, options = Options} = State) ->
    case connect(Options) of
        {ok, Handle} ->
            _ = [procket_ports:ready(Key, Handle) || #{key := Key} <- [Options]],
            {reply, {ok, Handle}, State#state{handle = Handle}};
        {error, Reason} ->
            {stop, {shutdown, {posix, Reason}}, {error, Reason}, State}
    end;
handle_call(await, _From, #state{handle = Handle} = State) ->
    {reply, {ok, Handle}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({submit, Caller, Id, Encoded, FDs}, #state{handle = Handle} = State) ->
    Monitor = monitor(process, Caller),
    Pending = State#state{
        calls = (State#state.calls)#{Id => {Monitor, pending}},
        callers = (State#state.callers)#{Monitor => Id}
    },
    case transmit(Handle, Id, Encoded, FDs) of
        ok ->
            {noreply, Pending};
        {error, epipe} ->
            Id ! {Id, unsent},
            {noreply, forget(Id, Pending)};
        {error, Reason} ->
            Id ! {Id, {error, Reason}},
            {noreply, forget(Id, Pending)}
    end;
handle_cast({taken, Id}, State) ->
    {noreply, forget(Id, State)};
handle_cast({abandon, Id}, State) ->
    {noreply, drop(Id, State)}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Data}}, #state{handle = #{port := Port}} = State) ->
    try binary_to_term(Data) of
        Answer -> answer(Answer, State)
    catch
        error:badarg -> {stop, {shutdown, eproto}, State}
    end;
handle_info({Port, {exit_status, Status}}, #state{handle = #{port := Port}} = State) ->
    {stop, {shutdown, {exit_status, Status}}, State};
handle_info({'EXIT', Port, Reason}, #state{handle = #{port := Port}} = State) ->
    {stop, {shutdown, Reason}, State};
handle_info({'DOWN', Monitor, process, _Pid, _Reason}, #state{callers = Callers} = State) ->
    case Callers of
        #{Monitor := Id} -> {noreply, drop(Id, State)};
        #{} -> {noreply, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{handle = undefined}) ->
    ok;
terminate(_Reason, #state{handle = #{port := Port, channel := Channel}, options = Options, calls = Calls}) ->
    _ = [procket_ports:gone(Key) || #{key := Key} <- [Options]],
    close_port(Port),
    procket_channel:close(Channel),
    maps:foreach(fun(_Id, Call) -> close_untaken(Call) end, Calls),
    refuse_submitted().

%% What was submitted too late can be submitted again, to another port process.
refuse_submitted() ->
    receive
        {'$gen_cast', {submit, _Caller, Id, _Encoded, _FDs}} ->
            Id ! {Id, unsent},
            refuse_submitted()
    after 0 -> ok
    end.

%% Starting

connect(Options) ->
    case procket_channel:listen(maps:get(pipe, Options, undefined)) of
        {ok, Listener} ->
            Result = start(Options, Listener),
            procket_channel:unlisten(Listener),
            Result;
        {error, Reason} ->
            {error, Reason}
    end.

start(#{command := [Program | Args]}, Listener) ->
    case executable(Program) of
        {ok, Path} ->
            try open_port({spawn_executable, Path}, [{args, Args}, {packet, 2}, binary, exit_status, hide]) of
                Port -> introduce(Port, Listener)
            catch
                error:Reason -> {error, spawn_posix(Reason)}
            end;
        error ->
            {error, enoent}
    end.

introduce(Port, Listener) ->
    Secret = procket_channel:secret(),
    Id = make_ref(),
    Connected =
        case command(Port, term_to_binary({Id, attach, [procket_channel:path(Listener), Secret]})) of
            ok ->
                case await_connected(Port, Id) of
                    ok -> procket_channel:accept(Listener, Secret, 1000);
                    {error, _} = Error -> Error
                end;
            {error, epipe} ->
                {error, eperm}
        end,
    case Connected of
        {ok, Channel} ->
            {ok, #{server => self(), port => Port, channel => Channel}};
        {error, Reason} ->
            close_port(Port),
            {error, Reason}
    end.

await_connected(Port, Id) ->
    receive
        {Port, {data, Data}} ->
            try binary_to_term(Data) of
                {Id, {ok, ?PROTOCOL, OsPid}} when is_integer(OsPid) -> ok;
                {Id, {error, Reason}} when is_atom(Reason) -> {error, Reason};
                _ -> {error, eproto}
            catch
                error:badarg -> {error, eproto}
            end;
        %% Refused by a prefix such as sudo, or no port program.
        {Port, {exit_status, _}} ->
            {error, eperm};
        {'EXIT', Port, _} ->
            {error, eperm}
    after ?START_TIMEOUT ->
        {error, etimedout}
    end.

executable(Program) ->
    case filename:basename(Program) of
        Program ->
            case os:find_executable(Program) of
                false -> error;
                Path -> {ok, Path}
            end;
        _ ->
            {ok, filename:absname(Program)}
    end.

spawn_posix(Reason) when is_atom(Reason), Reason =/= badarg, Reason =/= system_limit -> Reason;
spawn_posix(system_limit) -> eagain;
spawn_posix(_) -> einval.

close_port(Port) ->
    try
        true = port_close(Port),
        ok
    catch
        error:badarg -> ok
    end,
    receive
        {'EXIT', Port, _} -> ok
    after 0 -> ok
    end.

%% Sending

transmit(#{port := Port}, Id, Encoded, []) ->
    in_frames(Id, Encoded, ?MAX_FRAME, fun(Frame, _FDs) -> command(Port, Frame) end, []);
transmit(#{channel := Channel}, Id, Encoded, FDs) ->
    Send = fun(Frame, Attached) -> procket_channel:send(Channel, Frame, Attached, ?START_TIMEOUT) end,
    in_frames(Id, Encoded, ?MAX_CHANNEL_FRAME, Send, FDs).

in_frames(Id, Encoded, Max, Send, FDs) ->
    case procket_parts:split(Id, Encoded, Max) of
        {error, _} = Error -> Error;
        Frames -> send_frames(Frames, Send, FDs)
    end.

send_frames([], _Send, _FDs) ->
    ok;
send_frames([Frame | Frames], Send, FDs) ->
    case Send(Frame, FDs) of
        ok -> send_frames(Frames, Send, []);
        {error, closed} -> {error, epipe};
        {error, _} = Error -> Error
    end.

command(Port, Frame) ->
    try
        true = port_command(Port, Frame),
        ok
    catch
        error:badarg -> {error, epipe}
    end.

%% Answers

answer({Id, Result}, State) when is_reference(Id) ->
    Id ! {Id, Result},
    {noreply, forget(Id, State)};
answer({Id, Result, Count}, State) when is_reference(Id), is_integer(Count) ->
    deliver(Id, Result, Count, State);
answer({Id, part, Part}, State) when is_reference(Id) ->
    case procket_parts:join(Id, Part, State#state.parts) of
        {more, Parts} -> {noreply, State#state{parts = Parts}};
        {complete, Encoded, Parts} -> answer(binary_to_term(Encoded), State#state{parts = Parts});
        {error, badpart} -> {stop, {shutdown, eproto}, State}
    end;
answer(_Answer, State) ->
    {stop, {shutdown, eproto}, State}.

deliver(Id, Result, Count, #state{handle = #{channel := Channel}, calls = Calls} = State) ->
    case {procket_channel:receive_fds(Channel, Count), Calls} of
        {{ok, FDs}, #{Id := {Monitor, pending}}} ->
            Id ! {Id, Result, FDs},
            {noreply, State#state{calls = Calls#{Id := {Monitor, FDs}}}};
        {{ok, FDs}, #{}} ->
            lists:foreach(fun procket_fd:close/1, FDs),
            {noreply, State};
        {{error, eproto}, _} ->
            {stop, {shutdown, eproto}, State};
        {{error, Reason}, _} ->
            Id ! {Id, {error, Reason}},
            {noreply, forget(Id, State)}
    end.

forget(Id, #state{calls = Calls, callers = Callers} = State) ->
    case Calls of
        #{Id := {Monitor, _}} ->
            true = demonitor(Monitor, [flush]),
            State#state{calls = maps:remove(Id, Calls), callers = maps:remove(Monitor, Callers)};
        #{} ->
            State
    end.

drop(Id, #state{calls = Calls} = State) ->
    case Calls of
        #{Id := Call} ->
            close_untaken(Call),
            forget(Id, State);
        #{} ->
            State
    end.

close_untaken({_Monitor, pending}) -> ok;
close_untaken({_Monitor, FDs}) -> lists:foreach(fun procket_fd:close/1, FDs).
