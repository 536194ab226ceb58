import { condition, defineSignal, setHandler, workflowInfo } from '@temporalio/workflow';

/** The request as a workflow of somebody else reads it. */
interface DeliveredRequest {
  readonly idempotency_key: string;
  readonly event: { readonly type: string };
  readonly safe_payload: { readonly text: string };
}

/** Ends with what it was given. */
export async function Echo(request: DeliveredRequest): Promise<object> {
  return { request, memo: workflowInfo().memo };
}

/** Stays open until it is told to end. */
export async function Wait(): Promise<void> {
  let isTold = false;
  setHandler(defineSignal('end'), () => {
    isTold = true;
  });
  await condition(() => isTold);
}
