%% What is logged when a port process cannot be had, or ends; and what the caller gets.
-module(log_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

%% Logger's callback.
-export([log/2]).

all() ->
    [
        versions_agree, no_executable, not_executable, of_another_system, inside_a_file, missing_with_the_default_exec, other_version, not_procket, opener_refused,
        worker_killed, expected_ends_are_silent, no_directory, shown_by_default, shown_once, handler_goes_with_the_application
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(_, Config) ->
    _ = application:stop(procket),
    %% A test that was ended may have left it lower.
    ok = logger:set_primary_config(level, notice),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), filter_default => stop,
        filters => [{procket, {fun logger_filters:domain/2, {log, sub, [procket]}}}]}),
    Config.

end_per_testcase(_, _Config) ->
    ok = logger:remove_handler(?MODULE),
    _ = application:unset_env(procket, port_executable).

%% init_per_testcase/2 and the test case run in one process.
log(#{msg := {Format, Args}, level := Level, meta := #{domain := [procket]}}, #{config := Pid}) ->
    Pid ! {logged, Level, lists:flatten(io_lib:format(Format, Args))}.

logged(Level, Pattern) ->
    receive
        {logged, Level, Text} ->
            ?assertMatch({match, _}, re:run(Text, Pattern), Text),
            %% It can be formatted for a terminal and is one line.
            ?assertEqual(nomatch, string:find(Text, "\n"))
    after 30_000 -> error({not_logged, Pattern})
    end.

nothing_logged() ->
    receive
        {logged, _, _} = Message -> error(Message)
    after 200 -> ok
    end.

%% What the executable says of itself is what the application says.
versions_agree(_Config) ->
    _ = application:load(procket),
    {ok, Version} = application:get_key(procket, vsn),
    ?assertEqual({Version, protocol()}, versions()).

versions() ->
    Said = procket_test:sh_ok([procket:progname(), " --version"]),
    {match, [Version, Protocol]} = re:run(Said, "^procket (\\S+), protocol (\\d+)\n$", [{capture, all_but_first, list}]),
    {Version, Protocol}.

%% As docs/protocol.md has it, in the text about attach.
protocol() ->
    {ok, Text} = file:read_file(filename:join(procket_test:project_root(), "docs/protocol.md")),
    {match, [Protocol]} = re:run(Text, "the version of this protocol, (\\d+)", [{capture, all_but_first, list}]),
    Protocol.

no_executable(_Config) ->
    application:set_env(procket, port_executable, "/not/there"),
    ?assertEqual({error, enoent}, procket:socket(inet, dgram, udp)),
    logged(error, "/not/there cannot be run: enoent .*port_executable").

not_executable(Config) ->
    Path = file(Config, "not_executable", "text", 8#644),
    application:set_env(procket, port_executable, Path),
    ?assertEqual({error, eacces}, procket:socket(inet, dgram, udp)),
    logged(error, "not_executable cannot be run: eacces .*port_executable").

of_another_system(Config) ->
    [
        begin
            application:set_env(procket, port_executable, file(Config, Name, Text, 8#755)),
            ?assertEqual({error, Reason}, procket:socket(inet, dgram, udp)),
            logged(error, [Name, " cannot be run: ", atom_to_list(Reason), " .*built for this system and its C library.*port_executable"])
        end
     || {Name, Text, Reason} <- [{"no_format", "\177ELF of nothing", enoexec}, {"no_loader", "#!/not/there\n", enoent}]
    ].

%% As in an archive.
inside_a_file(Config) ->
    Path = file(Config, "archive.ez", "text", 8#644) ++ "/procket/priv/procket",
    application:set_env(procket, port_executable, Path),
    ?assertEqual({error, enoent}, procket:socket(inet, dgram, udp)),
    logged(error, "archive.ez/procket/priv/procket cannot be run: enoent .*outside of any archive.*port_executable").

%% What sudo says does not hide that there is nothing to run.
missing_with_the_default_exec(_Config) ->
    application:set_env(procket, port_executable, "/not/there"),
    ?assertEqual({error, enoent}, procket:open(0, [{protocol, udp}])),
    logged(error, "/not/there cannot be run: enoent").

other_version(Config) ->
    {_, Ours} = versions(),
    application:set_env(procket, port_executable, fake(Config, "other_version", "{ok, 99, 1, more}")),
    ?assertEqual({error, eproto}, procket:socket(inet, dgram, udp)),
    logged(error, ["other_version worker speaks version 99 of the protocol, and the modules of this node version ", Ours, ": .*--version"]).

not_procket(Config) ->
    application:set_env(procket, port_executable, fake(Config, "not_procket", "hello")),
    ?assertEqual({error, eproto}, procket:socket(inet, dgram, udp)),
    logged(notice, "not_procket worker did not start: {not_procket,hello}").

opener_refused(_Config) ->
    ?assertEqual({error, eperm}, procket:open(0, [{protocol, udp}, {exec, ["false"]}])),
    logged(notice, "false .*procket opener did not start: {exit_status,1}").

worker_killed(_Config) ->
    eacces = procket:errno_id(13),
    _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
    logged(warning, "procket worker ended unexpectedly: {exit_status,137}"),
    ?assertEqual(eacces, procket:errno_id(13)).

expected_ends_are_silent(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {pipe, "/tmp/procket-" ++ os:getpid() ++ "-silent"}, {exec, [""]}]),
    ok = procket:close(FD),
    eacces = procket:errno_id(13),
    ok = application:stop(procket),
    nothing_logged().

%% In a mount namespace where nothing can be written.
no_directory(Config) ->
    case procket_test:need_root(Config) of
        Config ->
            Expression = "Result = procket:socket(inet, dgram, udp), ok = logger_std_h:filesync(procket), io:format(\"~w\", [Result])",
            Output = procket_test:sh_ok(["env -u TMPDIR unshare --mount sh -c \"mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp && mount -t tmpfs -o ro tmpfs /dev/shm && ",
                escape(erl(Expression)), "\""]),
            ?assertMatch({match, _}, re:run(Output, "no directory .*erofs.*Tried: /tmp, /dev/shm. Set TMPDIR", [dotall])),
            ?assertMatch({match, _}, re:run(Output, "{error,erofs}"));
        Skip ->
            Skip
    end.

%% With nothing configured, the message is on the terminal.
shown_by_default(_Config) ->
    Expression = "application:set_env(procket, port_executable, \"/not/there\"), {error, enoent} = procket:socket(inet, dgram, udp), ok = logger_std_h:filesync(procket)",
    ?assertMatch({match, _}, re:run(procket_test:sh_ok(erl(Expression)), "procket: the port program /not/there cannot be run: enoent")).

%% The node's handler prints the message: the application's own does not print it again.
shown_once(_Config) ->
    Expression = "logger:set_handler_config(default, filter_default, log), logger:remove_handler_filter(default, domain), "
        "application:set_env(procket, port_executable, \"/not/there\"), {error, enoent} = procket:socket(inet, dgram, udp), "
        "[_ = logger_std_h:filesync(Handler) || Handler <- [default, procket]]",
    Output = procket_test:sh_ok(erl(Expression)),
    ?assertMatch({match, [_]}, re:run(Output, "procket: the port program /not/there cannot be run", [global])).

%% What is the node's own stays as it is.
handler_goes_with_the_application(_Config) ->
    Others = fun() -> [Config || #{id := Id} = Config <- logger:get_handler_config(), Id =/= procket] end,
    Before = Others(),
    ?assertMatch({error, _}, logger:get_handler_config(procket)),
    ok = application:start(procket),
    ?assertMatch({ok, _}, logger:get_handler_config(procket)),
    ?assertEqual(Before, Others()),
    ok = application:stop(procket),
    ?assertMatch({error, _}, logger:get_handler_config(procket)).

erl(Expression) ->
    ["erl -noshell -pa ", filename:dirname(code:which(procket)), " -eval '", Expression, ", halt().'"].

escape(Line) ->
    string:replace(Line, "\"", "\\\"", all).

file(Config, Name, Text, Mode) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), Name),
    ok = file:write_file(Path, Text),
    ok = file:change_mode(Path, Mode),
    Path.

%% A program that answers the first request with a term.
fake(Config, Name, Answer) ->
    file(Config, Name, [
        "#!/usr/bin/env escript\n"
        "%%! -noinput\n"
        "main(_) ->\n"
        "    Port = open_port({fd, 0, 1}, [{packet, 2}, binary]),\n"
        "    receive {Port, {data, Data}} -> port_command(Port, term_to_binary({element(1, binary_to_term(Data)), ", Answer, "})) end,\n"
        "    receive {Port, eof} -> ok after 5000 -> ok end.\n"
    ], 8#755).
