import type { DeliveryRegistry } from '../delivery-registry.ts';
import type { DeliveryQueue, SettleAnswer } from './delivery-queue.ts';

/** What a lane shares with the others. */
export interface LaneHost {
  readonly queue: DeliveryQueue;
  readonly registry: DeliveryRegistry;
  /** Requests in flight of one route. */
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Whether deliveries may be claimed and begun now. */
  readonly isOpen: boolean;
  /** How many requests a lane may have in flight, so that all lanes together stay below the cap. */
  readonly share: number;
  /** Demands the lock of the session before a claim; false where a gate is closing. */
  enter(): Promise<boolean>;
  claimed(deliveries: number): void;
  /** Nothing is to be settled under this lease any more: what it still holds is to be given back. */
  endLease(token: string): void;
  settled(answer: SettleAnswer): void;
  /** Outcomes that could not be recorded while their lease lasted. */
  unsettled(outcomes: number): void;
  /** The lane began or ended to hold deliveries. */
  changed(): void;
  failed(error: unknown): void;
}
