/** Page of an execution in the Temporal UI; ids are percent-encoded, since a workflow id has a slash. */
export function uiLink(uiUrl: string, namespace: string, workflowId: string, runId?: string): string {
  const parts = [namespace, 'workflows', workflowId, ...(runId === undefined ? [] : [runId, 'history'])];
  return `${uiUrl.replace(/\/$/, '')}/namespaces/${parts.map(encodeURIComponent).join('/')}`;
}
