import helmet from 'helmet';
import type { RequestHandler } from 'express';

/**
 * Security headers. Resources from other hosts are refused: the queue dashboard falls back from its web font to a
 * system font. TLS and HSTS are up to the proxy in front of the API.
 */
export function securityHeaders(): RequestHandler {
  return helmet({
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        // The dashboard sets styles from script.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
  });
}
