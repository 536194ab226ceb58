import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What arrived whole since the last time it was asked for. */
export interface Arrived {
  readonly requests: number;
  /** Different idempotency keys among them. */
  readonly keys: number;
  readonly bodyBytes: number;
}

export interface ReceiverUrls {
  /** Answers 204 at once. */
  readonly answering: string;
  /** Accepts connections, reads, and never answers. */
  readonly silent: string;
  /** Nobody listens there while the receiver runs. */
  readonly refusing: string;
}

/** What the receiver's process says: its addresses once, then what arrived, as often as it is asked. */
export type ReceiverMessage = { readonly urls: ReceiverUrls } | { readonly arrived: Arrived };

/** Where the contestants post to: a process of its own, with a ledger of what arrived. */
export interface Receiver {
  readonly urls: ReceiverUrls;
  /** What arrived; the ledger begins anew. */
  take(): Promise<Arrived>;
  stop(): Promise<void>;
}

/** Starts it; it ends with this process, however that ends. */
export async function startReceiver(): Promise<Receiver> {
  const child = fork(join(import.meta.dirname, 'receiver-process.ts'));
  const told = async () => {
    const ended = new AbortController();
    const died = once(child, 'exit', { signal: ended.signal }).then(() => {
      throw new Error('the receiver has ended');
    });
    try {
      const [message] = await Promise.race([once(child, 'message'), died]);
      return message as ReceiverMessage;
    } finally {
      died.catch(() => undefined);
      ended.abort();
    }
  };
  const first = await told();
  if (!('urls' in first)) throw new Error('the receiver did not say where it is');
  return {
    urls: first.urls,
    async take() {
      const answer = told();
      child.send('take');
      const message = await answer;
      if (!('arrived' in message)) throw new Error('the receiver did not say what arrived');
      return message.arrived;
    },
    async stop() {
      const exited = once(child, 'exit');
      child.disconnect();
      await exited;
    },
  };
}
