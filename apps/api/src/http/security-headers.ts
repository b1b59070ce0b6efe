import helmet from 'helmet';
import type { RequestHandler } from 'express';

/**
 * Headers that keep a browser from doing more with our answers than it must. Nothing may come from other hosts: the
 * queue board's web font is refused and its page falls back to the system's. TLS, and with it HSTS, belongs to
 * whatever stands in front of us.
 */
export function securityHeaders(): RequestHandler {
  return helmet({
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        // The board styles elements from script.
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
