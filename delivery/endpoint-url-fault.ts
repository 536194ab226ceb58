import { checkUrl } from './http/check-url.ts';
import { HttpFault } from './http/http-fault.ts';

/** Every address: whether one may be sent to is for the guard to say, which knows its environment. */
const ANY_ADDRESS = ['0.0.0.0/0', '::/0'];

/** What is wrong with the form of a URL to post to, in one sentence; null where nothing is. */
export function endpointUrlFault(url: string, allowHttp: boolean): string | null {
  try {
    checkUrl(url, { allowHttp, allowCidrs: ANY_ADDRESS });
    return null;
  } catch (error) {
    if (error instanceof HttpFault) return error.message;
    throw error;
  }
}
