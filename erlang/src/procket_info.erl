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

-spec all() -> [info()].
all() ->
    Asked = [{Key, Handle, erpc:send_request(node(), fun() -> counters(Key, Handle) end)} || {Key, Handle} <- procket_ports:all()],
    lists:append([about(Key, Handle, erpc:receive_response(Request)) || {Key, Handle, Request} <- Asked]).

%% One that has ended meanwhile is none.
about(_Key, _Handle, ended) -> [];
about(Key, #{os_pid := OsPid}, Counters) -> [maps:merge(maps:merge((role(Key))#{os_pid => OsPid}, of_process(OsPid)), Counters)].

role(worker) -> #{role => worker};
role({opener, Command}) -> #{role => opener, command => procket_command:to_string(Command)};
role({capture, Socket}) -> #{role => capture, socket => Socket}.

%% What it says itself, if it does in time.
counters({capture, Socket}, _Handle) ->
    case ask(Socket, counters) of
        {ok, Numbers} -> maps:from_list(Numbers ++ [{packets, Packets} || {ok, Packets} <- [ask(Socket, stats)]]);
        {error, closed} -> ended;
        {error, _} -> #{}
    end;
counters(_Key, #{server := Server}) ->
    case procket_call:with_server(Server, counters, [], ?PATIENCE) of
        {{ok, Numbers}, []} -> maps:from_list(Numbers);
        {error, epipe} -> ended;
        _ -> #{}
    end.

ask(Socket, Request) ->
    procket_raw:call(Socket, Request, ?PATIENCE).

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
