// Starts Swagger UI. A file of its own, because the content security policy refuses scripts inside of the page.
window.addEventListener('load', () => {
  window.SwaggerUIBundle({
    url: '../openapi.json',
    dom_id: '#reference',
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayOperationId: true,
    tryItOutEnabled: false,
    validatorUrl: null,
  });
});
