%% @private
%% Descriptors of the BEAM, closed with what OTP's `prim_file' exports (there is no documented way).
-module(procket_fd).

-include_lib("kernel/include/file.hrl").

-export([close/1, into_socket/1, open/1]).

%% Closes a descriptor, whatever it is. See close(2).
-spec close(procket:fd()) -> ok | {error, procket:posix()}.
close(FD) when FD > 16#7fffffff ->
    {error, ebadf};
close(FD) ->
    case prim_file:file_desc_to_ref(FD, []) of
        {ok, Ref} -> prim_file:close(Ref);
        {error, Reason} -> {error, Reason}
    end.

%% Opens a regular file, as those of namespaces are, for reading: no port process has to be able to open one. `einval' for
%% any other file, whose opening might wait.
-spec open(file:filename_all()) -> {ok, file:fd(), procket:fd()} | {error, procket:posix()}.
open(Path) ->
    case prim_file:read_file_info(Path) of
        {ok, #file_info{type = regular}} ->
            case file:open(Path, [read, raw, binary]) of
                {ok, File} ->
                    <<FD:32/native>> = prim_file:get_handle(File),
                    {ok, File, FD};
                {error, _} = Error ->
                    Error
            end;
        {ok, _} ->
            {error, einval};
        {error, _} = Error ->
            Error
    end.

%% An OTP socket in place of a descriptor: the descriptor is closed, the socket has a duplicate that it closes itself.
-spec into_socket(procket:fd()) -> {ok, socket:socket()} | {error, procket:posix() | {invalid, term()}}.
into_socket(FD) ->
    try
        socket:open(FD, #{dup => true})
    after
        _ = close(FD)
    end.
