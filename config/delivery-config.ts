import type { SecretRef } from './secret-ref.ts';

/**
 * What a target's deliveries may do and with what, from `targets.<name>.delivery`. A kind that is null stays unbuilt.
 * No secret is in it, only where secrets are to be had; times in milliseconds, paths absolute.
 */
export interface DeliveryConfig {
  /** Requests in flight of one route, 1 to 256. */
  readonly concurrency: number;
  /** How long a claim lasts that nobody renews. */
  readonly leaseMs: number;
  /** Special and private ranges that outgoing requests may reach, in canonical CIDR notation. */
  readonly allowCidrs: readonly string[];
  /** Secrets by the names that routes use. */
  readonly secrets: Readonly<Record<string, SecretRef>>;
  readonly externalEndpoint: ExternalEndpointConfig | null;
  readonly directusFlow: DirectusFlowConfig | null;
  /** Workflows start in the Temporal of the worker; there is nothing to set. */
  readonly workflow: Readonly<Record<string, never>> | null;
  readonly report: ReportConfig | null;
  readonly vector: VectorConfig | null;
}

export interface ExternalEndpointConfig {
  /** `source` of the CloudEvents envelope. */
  readonly source: string;
}

export interface DirectusFlowConfig {
  /** Without a slash at the end. */
  readonly baseUrl: string;
  /** Access token that requests carry; null for a flow that asks for none. */
  readonly token: SecretRef | null;
}

export interface ReportConfig {
  /** Folder of the artifacts. */
  readonly dir: string;
}

export interface VectorConfig {
  /** Database that holds the vectors. `plain` has no password in it. */
  readonly url: SecretRef | { readonly kind: 'plain'; readonly url: string };
  readonly embedding: EmbeddingConfig;
}

/** An endpoint that answers as OpenAI's embeddings do. */
export interface EmbeddingConfig {
  readonly url: string;
  readonly model: string;
  readonly dimensions: number;
  readonly apiKey: SecretRef | null;
}

/** The configuration there is when none is given: nothing is allowed and nothing is built. */
export const NO_DELIVERY: DeliveryConfig = {
  concurrency: 32,
  leaseMs: 60_000,
  allowCidrs: [],
  secrets: {},
  externalEndpoint: null,
  directusFlow: null,
  workflow: null,
  report: null,
  vector: null,
};
