defmodule UdpEcho do
  @moduledoc """
  Echoes datagrams on a port that may be a low one.

      {:ok, echo} = UdpEcho.start_link(port: 7)
      GenServer.stop(echo)

  Options: `:port`, and those of `:procket.open/2` under `:open`.
  """

  use GenServer

  def start_link(options) do
    GenServer.start_link(__MODULE__, options)
  end

  @doc "The address and port that it serves."
  def sockname(echo) do
    GenServer.call(echo, :sockname)
  end

  @impl true
  def init(options) do
    # So that terminate/2 is called when the supervisor stops it.
    Process.flag(:trap_exit, true)

    case :procket.open(options[:port], [protocol: :udp] ++ Keyword.get(options, :open, [])) do
      {:ok, fd} ->
        # Port 0: the descriptor is bound already.
        {:ok, socket} = :gen_udp.open(0, [:binary, fd: fd, active: true])
        {:ok, %{fd: fd, socket: socket}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  @impl true
  def handle_call(:sockname, _from, state) do
    {:reply, :inet.sockname(state.socket), state}
  end

  @impl true
  def handle_info({:udp, socket, ip, port, data}, %{socket: socket} = state) do
    :ok = :gen_udp.send(socket, ip, port, data)
    {:noreply, state}
  end

  def handle_info(_message, state) do
    {:noreply, state}
  end

  @impl true
  def terminate(_reason, state) do
    :gen_udp.close(state.socket)
    # gen_udp leaves a descriptor that it was given open.
    :procket.close(state.fd)
  end
end
