/** When the SDK adds checksums of its own to requests and checks those of responses. */
export const checksumModes = ['WHEN_REQUIRED', 'WHEN_SUPPORTED'] as const;

/** A bucket, and how it is reached. */
export interface S3Settings extends S3Connection {
  readonly bucket: string;
  /** Prefix of every key: empty, or ends with a slash. */
  readonly prefix: string;
}

/** A server with buckets. */
export interface S3Connection {
  readonly region: string;
  /** Base URL of a server other than AWS; null for AWS. */
  readonly endpoint: string | null;
  /** Whether the bucket is part of the path rather than of the host name. */
  readonly pathStyle: boolean;
  readonly checksums: (typeof checksumModes)[number];
  /** Null: the SDK finds them in the profile, the role of the pod or that of the machine. */
  readonly credentials: S3Credentials | null;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Clients download outputs from the bucket, with URLs that the service signs. */
export interface SignedUrlSettings {
  readonly lifetimeMs: number;
  /** Base URL of the server for clients, where it differs from that of the service; else null. */
  readonly endpoint: string | null;
}

/** The buckets whose objects are accepted as inputs, by `s3://BUCKET/KEY`. */
export interface S3InputSettings {
  readonly buckets: readonly string[];
  /** Where the service stores the files of all users, which are no inputs; null for a store in folders. */
  readonly own: Pick<S3Settings, 'bucket' | 'prefix'> | null;
  readonly connection: S3Connection;
}

/** Where inputs and outputs are stored. */
export type ArtifactStoreSettings =
  | { readonly kind: 'file' }
  | {
      readonly kind: 's3';
      readonly s3: S3Settings;
      readonly signedUrls: SignedUrlSettings | null;
      /** Largest size of the inputs that a machine keeps beside those in use. */
      readonly cacheBytes: number;
    };
