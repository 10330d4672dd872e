"""The backend on AWS: DynamoDB, SQS, S3 and KMS."""
