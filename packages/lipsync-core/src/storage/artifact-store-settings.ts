/** When the SDK adds checksums of its own to requests and checks those of responses. */
export const checksumModes = ['WHEN_REQUIRED', 'WHEN_SUPPORTED'] as const;

/** A bucket, and how it is reached. */
export interface S3Settings {
  readonly bucket: string;
  /** Begins every key: empty, or ends with a slash. */
  readonly prefix: string;
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

/** Where inputs and outputs are stored. */
export type ArtifactStoreSettings =
  | { readonly kind: 'file' }
  | {
      readonly kind: 's3';
      readonly s3: S3Settings;
      /** Largest size of the inputs that a machine keeps beside those in use. */
      readonly cacheBytes: number;
    };
