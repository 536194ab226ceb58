import type { Dispatcher } from 'undici';
import type { AbortWatch } from './abort-watch.ts';
import type { CheckedUrl } from './check-url.ts';
import type { GuardedAnswer, GuardedPost } from './guarded-post.ts';
import { HttpFault, type HttpFaultCode } from './http-fault.ts';
import { httpFaultOf } from './http-fault-of.ts';

const NO_BYTES = Buffer.alloc(0);

/** How an exchange ends: in one of two ways, once. */
export interface Ending {
  resolve(answer: GuardedAnswer): void;
  reject(fault: HttpFault): void;
}

/**
 * One POST and its answer, from the deadline that starts now to the end of the answer. It ends at the deadline and at
 * the abort of the signal wherever it stands: in the queue for a connection, before the answer, or within it.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #post: GuardedPost;
  readonly #url: CheckedUrl;
  readonly #ending: Ending;
  readonly #deadline: NodeJS.Timeout;
  readonly #aborts: AbortWatch;
  /** There from the moment at which the request is written. */
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;
  #status = 0;
  #headers: GuardedAnswer['headers'] = {};
  #body: Buffer = NO_BYTES;
  #chunks: Buffer[] | null = null;
  #bytes = 0;

  constructor(post: GuardedPost, url: CheckedUrl, aborts: AbortWatch, ending: Ending) {
    this.#post = post;
    this.#url = url;
    this.#aborts = aborts;
    this.#ending = ending;
    this.#deadline = setTimeout(pastDeadline, post.timeoutMs, this);
    aborts.add(post.signal, this);
  }

  /** Ends it because its caller wants no more of it. */
  giveUp(): void {
    this.#stop('was given up');
  }

  /** Ends it because its time is over. */
  expire(): void {
    this.#stop(`took longer than ${this.#post.timeoutMs} ms`);
  }

  /** Called before the first byte is written. What it throws keeps the request from being sent, at no cost to the connection. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#ended) throw new Error('it has ended');
    if (this.#controller !== null) throw new Error('a request is sent once');
    this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = singleValues(headers);
    if (Number(headers['content-length']) > this.#post.maxAnswerBytes) this.#tooLarge();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#post.maxAnswerBytes) this.#tooLarge();
    else if (this.#bytes === chunk.length) this.#body = chunk;
    else if (this.#chunks === null) this.#chunks = [this.#body, chunk];
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (!this.#end()) return;
    const body = this.#chunks === null ? this.#body : Buffer.concat(this.#chunks, this.#bytes);
    this.#ending.resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#ended) return;
    const { host, secure } = this.#url;
    const wasSent = this.#controller !== null;
    this.#fail(httpFaultOf(error, { wasSent, status: this.#statusSoFar(), secure, host }));
  }

  #tooLarge(): void {
    const { host } = this.#url;
    const limit = this.#post.maxAnswerBytes;
    const message = `The answer of ${host} with status ${this.#status} is larger than ${limit} bytes.`;
    this.#fail(new HttpFault('response_too_large', message, this.#status));
  }

  #stop(why: string): void {
    const { host } = this.#url;
    const [code, what]: [HttpFaultCode, string] =
      this.#controller === null
        ? ['connect_timeout', `The request to ${host} ${why} before it was sent.`]
        : ['timeout', `The request to ${host} ${why}; whether it had its effect is unknown.`];
    this.#fail(new HttpFault(code, what, this.#statusSoFar()));
  }

  #statusSoFar(): number | null {
    return this.#status === 0 ? null : this.#status;
  }

  #fail(fault: HttpFault): void {
    if (!this.#end()) return;
    this.#chunks = null;
    this.#ending.reject(fault);
    this.#controller?.abort(fault);
  }

  /** Whether it ends now, and not before. */
  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearTimeout(this.#deadline);
    this.#aborts.remove(this.#post.signal, this);
    return true;
  }
}

function pastDeadline(exchange: Exchange): void {
  exchange.expire();
}

/** Repeated headers in one value, as RFC 9110 joins them. */
function singleValues(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const single: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === 'string') single[name] = value;
    else if (value !== undefined) single[name] = value.join(', ');
  }
  return single;
}
