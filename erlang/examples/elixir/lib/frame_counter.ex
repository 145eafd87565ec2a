defmodule FrameCounter do
  @moduledoc """
  Counts the frames of an interface by their EtherType.

      {:ok, counter} = FrameCounter.start_link(interface: "lo", open: [filter: "ip or ip6"])
      FrameCounter.counts(counter)
      GenServer.stop(counter)

  Options: `:interface`, and those of `:gen_raw.open/2` under `:open`.
  """

  use GenServer

  # So many frames come before the socket waits for the server.
  @active 1000

  def start_link(options) do
    GenServer.start_link(__MODULE__, options)
  end

  @doc "How many frames of each EtherType came: `%{0x0800 => 17}`."
  def counts(counter) do
    GenServer.call(counter, :counts)
  end

  @impl true
  def init(options) do
    # The socket belongs to this process, and ends with it: there is nothing to close in terminate/2.
    interface = String.to_charlist(options[:interface])

    case :gen_raw.open(interface, [active: @active] ++ Keyword.get(options, :open, [])) do
      {:ok, socket} -> {:ok, %{socket: socket, counts: %{}}}
      {:error, reason} -> {:stop, reason}
    end
  end

  @impl true
  def handle_call(:counts, _from, state) do
    {:reply, state.counts, state}
  end

  @impl true
  def handle_info({:raw, socket, frames}, %{socket: socket} = state) do
    counts = Enum.frequencies_by(frames, fn <<_addresses::12-bytes, type::16, _::binary>> -> type end)
    {:noreply, %{state | counts: Map.merge(state.counts, counts, fn _type, a, b -> a + b end)}}
  end

  def handle_info({:raw_passive, socket}, %{socket: socket} = state) do
    :ok = :gen_raw.setopts(socket, active: @active)
    {:noreply, state}
  end

  # The interface was taken down, or removed: then raw_closed comes next.
  def handle_info({:raw_error, socket, _reason}, %{socket: socket} = state) do
    {:noreply, state}
  end

  def handle_info({:raw_closed, socket}, %{socket: socket} = state) do
    {:stop, :closed, state}
  end

  def handle_info(_message, state) do
    {:noreply, state}
  end
end
