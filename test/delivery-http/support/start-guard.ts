import { onTestFinished } from 'vitest';
import {
  createHttpGuard,
  type HttpGuard,
  type HttpGuardOptions,
} from '../../../delivery/http/create-http-guard.ts';
import type { GuardedAnswer, GuardedPost } from '../../../delivery/http/guarded-post.ts';
import { HttpFault } from '../../../delivery/http/http-fault.ts';

/** A guard that lets loopback through unless told otherwise; it ends with the test. */
export function startGuard(options: Partial<HttpGuardOptions> = {}): HttpGuard {
  const guard = createHttpGuard({ allowCidrs: ['127.0.0.0/8'], ...options });
  onTestFinished(async () => guard.close());
  return guard;
}

/** A POST as a route would make it. */
export function aPost(url: string, changes: Partial<GuardedPost> = {}): GuardedPost {
  return {
    url,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from('{"a":1}'),
    allowHttp: true,
    timeoutMs: 20_000,
    maxAnswerBytes: 65_536,
    signal: new AbortController().signal,
    ...changes,
  };
}

/** The fault a post ends with. @throws Error where it has an answer, or fails in another way */
export async function faultOf(post: Promise<GuardedAnswer>): Promise<HttpFault> {
  const ended = await post.catch((error: unknown) => error);
  if (ended instanceof HttpFault) return ended;
  throw ended instanceof Error ? ended : new Error(`no fault, but ${JSON.stringify(ended)}`);
}
