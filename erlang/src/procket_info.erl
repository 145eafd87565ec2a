%% @private
%% What the port processes are and have done.
-module(procket_info).

-export([all/0]).

-export_type([info/0]).

%% For how long an answer is waited for, in milliseconds. All are asked at once.
-define(PATIENCE, 2000).

-type info() :: #{
    role := worker | opener | capture,
    command => string(),
    refusals => #{Why :: binary() => pos_integer()},
    socket => gen_raw:socket(),
    os_pid := pos_integer(),
    user => non_neg_integer(),
    capabilities => [atom()],
    calls => non_neg_integer(),
    errors => non_neg_integer(),
    received => non_neg_integer(),
    sent => non_neg_integer(),
    spin => non_neg_integer(),
    polled => non_neg_integer(),
    slept => non_neg_integer(),
    packets => gen_raw:stats()
}.

%% No process is spawned for it: it answers even if there is no room for another.
-spec all() -> [info()].
all() ->
    Asked = [{Key, Handle, ask(Key, Handle)} || {Key, Handle} <- procket_registry:all()],
    Deadline = erlang:monotonic_time(millisecond) + ?PATIENCE,
    lists:append([about(Key, Handle, answer(Key, Request, Deadline)) || {Key, Handle, Request} <- Asked]).

%% One that has ended meanwhile is none.
about(_Key, _Handle, ended) -> [];
about(Key, #{os_pid := OsPid}, Counters) -> [maps:merge(maps:merge((role(Key))#{os_pid => OsPid}, of_process(OsPid)), Counters)].

role(worker) -> #{role => worker};
role({opener, Command}) -> #{role => opener, command => procket_command:to_string(Command), refusals => procket_denial:counts(Command)};
role({capture, Socket}) -> #{role => capture, socket => Socket}.

ask({capture, Socket}, _Handle) -> [gen_server:send_request(Socket, Request) || Request <- [counters, stats]];
ask(_Key, #{server := Server}) -> procket_client:request(Server, counters, []).

%% What each says itself, if it does in time.
answer({capture, _Socket}, Requests, Deadline) ->
    case [of_socket(Request, Deadline) || Request <- Requests] of
        [{ok, Numbers}, {ok, Packets}] -> maps:from_list([{packets, Packets} | Numbers]);
        Answers -> case lists:member({error, closed}, Answers) of true -> ended; false -> #{} end
    end;
answer(_Key, Request, Deadline) ->
    case procket_client:response(Request, Deadline) of
        {ok, Numbers} -> maps:from_list(Numbers);
        {error, epipe} -> ended;
        _ -> #{}
    end.

of_socket(Request, Deadline) ->
    case gen_server:receive_response(Request, max(0, Deadline - erlang:monotonic_time(millisecond))) of
        {reply, Reply} -> Reply;
        timeout -> {error, etimedout};
        {error, _} -> {error, closed}
    end.

%% What proc(5) says.
of_process(OsPid) ->
    case file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/status") of
        {ok, Status} ->
            maps:from_list(
                [{user, binary_to_integer(User)} || {match, [User]} <- [match(Status, "^Uid:\\s+(\\d+)")]] ++
                    [{capabilities, capabilities(binary_to_integer(Mask, 16))} || {match, [Mask]} <- [match(Status, "^CapPrm:\\s+(\\w+)")]]
            );
        {error, _} ->
            #{}
    end.

match(Text, Pattern) ->
    re:run(Text, Pattern, [multiline, {capture, all_but_first, binary}]).

capabilities(Mask) ->
    [Name || {Number, Name} <- lists:enumerate(0, names()), Mask band (1 bsl Number) =/= 0].

%% linux/capability.h, in order.
names() ->
    [
        chown, dac_override, dac_read_search, fowner, fsetid, kill, setgid, setuid, setpcap, linux_immutable, net_bind_service,
        net_broadcast, net_admin, net_raw, ipc_lock, ipc_owner, sys_module, sys_rawio, sys_chroot, sys_ptrace, sys_pacct, sys_admin,
        sys_boot, sys_nice, sys_resource, sys_time, sys_tty_config, mknod, lease, audit_write, audit_control, setfcap, mac_override,
        mac_admin, syslog, wake_alarm, block_suspend, audit_read, perfmon, bpf, checkpoint_restore
    ].
