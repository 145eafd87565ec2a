// The packet ring of Linux, packet(7): where its fields are.
#ifndef PROCKET_PACKET_RING_H
#define PROCKET_PACKET_RING_H

#ifdef __linux__
#include <stdint.h>

// The kernel's structures in bytes; packet.c compares them with linux/if_packet.h. That header and the C library's
// netpacket/packet.h do not go together.
enum {
  // struct tpacket_block_desc
  procket_block_status = 8,
  procket_block_packets = 12,
  procket_block_first = 16,
  procket_block_length = 20,
  procket_block_header = 48,
  // struct tpacket3_hdr
  procket_packet_next = 0,
  procket_packet_seconds = 4,
  procket_packet_nanoseconds = 8,
  procket_packet_captured = 12,
  procket_packet_original = 16,
  procket_packet_status = 20,
  procket_packet_mac = 24,
  procket_packet_tci = 32,
  procket_packet_tpid = 36,
  procket_packet_header = 48,
  // TP_STATUS_*
  procket_status_kernel = 0,
  procket_status_user = 1,
  procket_status_vlan = 1 << 4,
  procket_status_tpid = 1 << 6,
  // PACKET_*
  procket_packet_rx_ring = 5,
  procket_packet_statistics = 6,
  procket_packet_version = 10,
  procket_packet_reserve = 12,
  procket_packet_v3 = 2,
  // struct tpacket_req3, struct sock_filter
  procket_ring_request_size = 28,
  procket_filter_instruction = 8,
  // SO_LOCK_FILTER, SO_BINDTOIFINDEX
  procket_lock_filter = 44,
  procket_bind_to_index = 62,
};

// SO_ATTACH_FILTER
int procket_attach_filter(int fd, const void *instructions, unsigned short count);

// A word that the kernel reads and writes at the same time.
static inline uint32_t procket_load_acquire(const void *address) {
  return __atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE);
}
static inline void procket_store_release(void *address, uint32_t value) {
  __atomic_store_n((uint32_t *)address, value, __ATOMIC_RELEASE);
}
#endif

#endif
