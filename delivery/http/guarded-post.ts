/** One POST through the guard. */
export interface GuardedPost {
  readonly url: string;
  /** Visible ASCII. `accept-encoding: identity`, the host, the length and the connection are the guard's to set. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Whether plain http may be used beside https. */
  readonly allowHttp: boolean;
  /** For everything, from the wait for a connection to the last byte of the answer, in milliseconds. */
  readonly timeoutMs: number;
  /** Bytes of the answer's body, as they travel; one more, and the connection is cut. */
  readonly maxAnswerBytes: number;
  /** Aborted when the caller gives up. */
  readonly signal: AbortSignal;
}

/** An answer, whatever its status: a redirect is an answer and is not followed. */
export interface GuardedAnswer {
  readonly status: number;
  /** Lower-case names; repeated headers joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** As it travelled: nothing is decompressed. */
  readonly body: Buffer;
}
